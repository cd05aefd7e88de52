//! Finding a submission again by its tag.

use cluster_core::dialect::{Reading, Row, Whose};
use cluster_core::{RemoteId, Tag, Timestamp};

use crate::system::{System, SystemError};

/// The id of the submission with this tag, from the user's whole queue as it is now, else from the
/// accounting since `since`. `None`: both answered, and neither knows it.
pub(crate) fn find(system: &System, tag: &Tag, since: Timestamp) -> Result<Option<RemoteId>, SystemError> {
    let user = [system.user().to_owned()];
    let queue = system.queue_now(Whose::Users(&user), Timestamp::now())?;
    if let Some(found) = queue.jobs(system)?.rows.iter().find_map(|row| id_with(row, tag)) {
        return Ok(Some(found));
    }
    for answer in system.accounting(&[], since)? {
        if let Some(found) = answer.jobs(system)?.rows.iter().find_map(|row| id_with(row, tag)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
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
