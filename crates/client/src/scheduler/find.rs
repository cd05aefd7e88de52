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
    has_tag(row, tag).then(|| RemoteId(row.job.clone().into_owned()))
}

/// Whether a row has the tag: as its comment, or at the end of its name, which of Torque's elements goes on
/// with their number.
fn has_tag(row: &Row<'_>, tag: &Tag) -> bool {
    let tag = tag.as_str();
    let whole = &*row.name;
    let name = whole
        .rsplit_once('-')
        .filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()))
        .map_or(whole, |(name, _)| name);
    let named = |name: &str| name.strip_suffix(tag).is_some_and(|name| name.ends_with('.'));
    named(whole) || named(name) || row.comment.as_deref() == Some(tag)
}

/// Whether a row with the id of a submission is about that submission. Ids come again: schedulers count to a
/// limit or are set up anew, and an accounting goes back years. A job without the tag, since somebody renamed it,
/// is it all the same where user and time fit.
pub(crate) fn is_about(row: &Row<'_>, chunk: &ChunkRow, user: &str) -> bool {
    const HOUR_US: i64 = 3_600_000_000;
    if has_tag(row, &chunk.tag) {
        return true;
    }
    if !row.user.is_empty() && row.user != user {
        return false;
    }
    match row.submitted {
        Some(at) => {
            let last = chunk.sent.unwrap_or_else(Timestamp::now).0.saturating_add(HOUR_US);
            (chunk.created.0.saturating_sub(HOUR_US)..=last).contains(&at.0)
        }
        None => row.name.is_empty() || !row.user.is_empty(),
    }
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
        assert_eq!(row(&format!("x.{tag}-12"), None).as_deref(), Some("7"));
        assert_eq!(row(&format!("x.{tag}-x"), None), None);
    }

    #[test]
    fn an_id_that_came_again_is_another_job() {
        let mut chunk = crate::scheduler::fold::tests::chunk("0");
        let day = 24 * 3_600_000_000;
        (chunk.created, chunk.sent) = (Timestamp(100 * day), Some(Timestamp(100 * day + 5)));
        let tagged = format!("x.{}", chunk.tag);
        let about = |name: &str, user: &str, submitted: Option<i64>| {
            let row = Row {
                name: name.to_owned().into(),
                user: user.to_owned().into(),
                submitted: submitted.map(Timestamp),
                ..Row::default()
            };
            is_about(&row, &chunk, "me")
        };
        assert!(about(&tagged, "", None) && about(&tagged, "me", Some(day)));
        assert!(!about("old", "other", Some(100 * day)), "somebody else's");
        assert!(!about("old", "me", Some(day)), "of long ago");
        assert!(!about("new", "me", Some(200 * day)), "of long after");
        assert!(about("renamed", "me", Some(100 * day + 7)) && about("renamed", "me", None));
        assert!(!about("old", "", None) && about("", "", None));
    }
}
