//! Finding a submission again by its tag.

use cluster_core::dialect::{Reading, Row, Whose};
use cluster_core::status_file::{StatusLine, parse};
use cluster_core::{RemoteId, Tag, Timestamp};
use cluster_jobsdb::ChunkRow;

use crate::layout::Layout;
use crate::system::{System, SystemError};

/// The id of a submission: from the records of its jobs, where one has begun; from the user's whole queue as it
/// is now; from the accounting. `None`: all answered, and none knows it.
pub(crate) fn find(
    system: &System,
    layout: &Layout,
    chunk: &ChunkRow,
) -> Result<Option<RemoteId>, SystemError> {
    if let Some(found) = in_records(layout, chunk) {
        return Ok(Some(found));
    }
    let tag = &chunk.tag;
    // A clock that differs by minutes must not hide it.
    let since = Timestamp(chunk.created.0.saturating_sub(3_600_000_000));
    let user = [system.user().to_owned()];
    let queue = system.queue_now(Whose::Users(&user), Timestamp::now())?;
    if let Some(found) = in_rows(&queue.jobs(system)?.rows, tag) {
        return Ok(Some(found));
    }
    for answer in system.accounting(&[], since)? {
        if let Some(found) = in_rows(&answer.jobs(system)?.rows, tag) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// What a job of it wrote down when it began. Only a script that was accepted has ever run.
pub(crate) fn in_records(layout: &Layout, chunk: &ChunkRow) -> Option<RemoteId> {
    chunk.jobs.iter().find_map(|index| {
        let text = std::fs::read(layout.job_file(chunk.batch, index, chunk.k, "status")).ok()?;
        parse(&text).find_map(|line| match line {
            StatusLine::Start { remote, .. } if remote != "-" => {
                Some(RemoteId(if chunk.array { array_of(&remote) } else { remote }))
            }
            _ => None,
        })
    })
}

/// The array of an element: `4711_3`, `12[3].srv`, `88.3`.
fn array_of(element: &str) -> String {
    if let Some((before, after)) =
        element.split_once('[').and_then(|(a, rest)| Some((a, rest.split_once(']')?.1)))
    {
        return format!("{before}[]{after}");
    }
    let cut = element.rfind('_').or_else(|| element.rfind('.')).unwrap_or(element.len());
    element[..cut].to_owned()
}

/// The id of the submission with this tag among these rows.
pub(crate) fn in_rows(rows: &[Row<'_>], tag: &Tag) -> Option<RemoteId> {
    rows.iter().find_map(|row| id_with(row, tag))
}

fn id_with(row: &Row<'_>, tag: &Tag) -> Option<RemoteId> {
    let tag = tag.as_str();
    let named = row.name.strip_suffix(tag).is_some_and(|name| name.ends_with('.'));
    (named || row.comment.as_deref() == Some(tag)).then(|| RemoteId(row.job.clone().into_owned()))
}

/// The id in the answer of a submit command.
pub(crate) fn submitted(reading: Reading<'_>) -> Option<RemoteId> {
    match reading {
        Reading::Submitted(id) => Some(id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_names_its_array() {
        for (element, array) in [("4711_3", "4711"), ("12[3].srv", "12[].srv"), ("88.3", "88"), ("7", "7")] {
            assert_eq!(array_of(element), array);
        }
    }

    #[test]
    fn the_tag_is_in_the_comment_or_ends_the_name() {
        let tag = Tag::from_bits(5);
        let row = |name: &str, comment: Option<&str>| {
            let row = Row {
                job: "7".into(),
                name: name.to_owned().into(),
                comment: comment.map(|comment| comment.to_owned().into()),
                ..Row::default()
            };
            id_with(&row, &tag).map(|id| id.0)
        };
        assert_eq!(row(&format!("x.{tag}"), None).as_deref(), Some("7"));
        assert_eq!(row("x", Some(tag.as_str())).as_deref(), Some("7"));
        assert_eq!(row(&format!("x{tag}"), None), None);
        assert_eq!(row("x", Some("other")), None);
    }
}
