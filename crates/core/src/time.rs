//! Points in time, as the store keeps them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since 1970 in UTC.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Now, by the system clock. The pure parts of this crate never call it.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From whole seconds, as status files hold them.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// The time from `earlier` to here, zero where the clock went back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).try_into().unwrap_or(0))
    }

    /// The time so long after this one, or the last that there is.
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_micros().try_into().unwrap_or(i64::MAX)))
    }

    /// The time so long before this one, or the first that there is.
    ///
    /// ```
    /// # use cluster_core::Timestamp; use std::time::Duration;
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(Timestamp::from_secs(60).before(minute), Timestamp(0));
    /// assert_eq!(Timestamp(0).after(minute), Timestamp::from_secs(60));
    /// ```
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time.as_micros().try_into().unwrap_or(i64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let micros = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self(micros.try_into().unwrap_or(i64::MAX))
    }
}
