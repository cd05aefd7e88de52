//! Jobs of the same scheduler that are not ours, looked at before something waits for them: a scheduler may drop a
//! dependency on an id that it does not know, and the job would run.

use cluster_core::dependency::ForeignDependency;
use cluster_core::dialect::{Row, Tasks, Whose};
use cluster_core::{DependencyKind, Timestamp};

use crate::error::ClientError;
use crate::system::System;

/// The accounting is asked so far back.
const MONTH_US: i64 = 31 * 24 * 3_600_000_000;

/// How a job that is not ours stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It waits or runs; whether it is an array.
    Alive { array: bool },
    /// It is over, well or not.
    Over { good: bool },
    /// Nobody knows it.
    Unknown,
}

/// What is left to wait for, or why it can never come true.
pub(crate) type Left = Result<Vec<ForeignDependency>, String>;

/// Looks at these jobs; dependencies that are satisfied are left out.
///
/// # Errors
/// An id that nobody knows, or a dependency that this scheduler does not keep truly; and where it cannot be asked.
pub(crate) fn look(system: &System, foreign: &[ForeignDependency]) -> Result<Left, ClientError> {
    let mut left = Vec::new();
    if foreign.is_empty() {
        return Ok(Ok(left));
    }
    let queue = system.queue_now(Whose::All, Timestamp::now()).map_err(ClientError::System)?;
    let queue = queue.jobs(system).map_err(ClientError::System)?;
    for one in foreign {
        let mut standing = standing(queue.rows.iter().filter(|row| row.is_of(&one.id)));
        if standing == Standing::Unknown {
            let since = Timestamp::now().0.saturating_sub(MONTH_US);
            let answers = system.accounting(std::slice::from_ref(&one.id), Timestamp(since));
            for answer in answers.map_err(ClientError::System)? {
                let jobs = answer.jobs(system).map_err(ClientError::System)?;
                standing = self::standing(jobs.rows.iter().filter(|row| row.is_of(&one.id)));
            }
        }
        match (one.kind, standing) {
            (_, Standing::Unknown) => {
                return Err(ClientError::Usage(format!(
                    "{one}: {} knows no job {}, or does not know yet how it ended; look at its id (`cluster queue \
                     --all`), try again in a moment, or leave it out if it is over",
                    system.name(),
                    one.id
                )));
            }
            (DependencyKind::AfterOk | DependencyKind::AfterNotOk, Standing::Alive { array: true })
                if !system.dialect().capabilities().checks_dependencies =>
            {
                return Err(ClientError::Usage(format!(
                    "{one}: {} does not look at how every element of an array ended, and no job of its has a record \
                     for us; wait for its end (afterany:remote:{}) and let the job look itself",
                    system.name(),
                    one.id
                )));
            }
            (_, Standing::Alive { .. }) => left.push(one.clone()),
            (DependencyKind::AfterOk, Standing::Over { good: false }) => {
                return Ok(Err(format!("{one}: it failed")));
            }
            (DependencyKind::AfterNotOk, Standing::Over { good: true }) => {
                return Ok(Err(format!("{one}: it succeeded")));
            }
            (_, Standing::Over { .. }) => {}
        }
    }
    Ok(Ok(left))
}

fn standing<'r, 'o: 'r>(rows: impl Iterator<Item = &'r Row<'o>>) -> Standing {
    let mut standing = Standing::Unknown;
    for row in rows {
        standing = match (standing, row.state.is_end()) {
            (Standing::Alive { array }, _) => Standing::Alive { array: array || row.tasks != Tasks::Single },
            (_, false) => Standing::Alive { array: row.tasks != Tasks::Single },
            (Standing::Over { good: false }, true) => Standing::Over { good: false },
            (_, true) => Standing::Over { good: row.state == cluster_core::JobState::Succeeded },
        };
    }
    standing
}

#[cfg(test)]
mod tests {
    use cluster_core::JobState;

    use super::*;

    #[test]
    fn a_job_is_over_when_all_of_it_is_and_good_when_all_of_it_was() {
        let row = |task: Option<u32>, state| Row {
            tasks: task.map_or(Tasks::Single, Tasks::One),
            state,
            ..Row::default()
        };
        let of = |rows: &[Row<'static>]| standing(rows.iter());
        use JobState::{Failed, Queued, Succeeded};
        assert_eq!(of(&[]), Standing::Unknown);
        assert_eq!(of(&[row(None, Queued)]), Standing::Alive { array: false });
        assert_eq!(of(&[row(Some(1), Failed), row(Some(2), Queued)]), Standing::Alive { array: true });
        assert_eq!(of(&[row(Some(1), Failed), row(Some(2), Succeeded)]), Standing::Over { good: false });
        assert_eq!(of(&[row(Some(1), Succeeded), row(Some(2), Succeeded)]), Standing::Over { good: true });
    }
}
