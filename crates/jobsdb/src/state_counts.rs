//! How many jobs of a batch are in each state.

use cluster_core::JobState;

use crate::columns::Columns;

/// A number for each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts(pub(crate) [u64; 9]);

impl StateCounts {
    pub(crate) fn read(c: &mut Columns<'_>) -> Result<Self, sqlx::Error> {
        let mut counts = [0; 9];
        for count in &mut counts {
            *count = c.number()?;
        }
        Ok(Self(counts))
    }

    /// How many are in `state`.
    pub fn of(&self, state: JobState) -> u64 {
        self.0[state as usize]
    }

    /// How many have ended.
    pub fn ended(&self) -> u64 {
        self.of(JobState::Succeeded) + self.of(JobState::Failed)
    }

    /// Each state with its number, in the states' order.
    pub fn iter(&self) -> impl Iterator<Item = (JobState, u64)> {
        JobState::ALL.into_iter().map(|state| (state, self.of(state)))
    }
}
