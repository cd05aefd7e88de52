//! How often one looks: [`Pace`].

use std::time::Duration;

/// The interval between two looks of one waiter: that of the configuration at first, a half more with each
/// look that shows nothing new, up to six times (10 s grow to 60 s).
///
/// ```
/// use cluster_client::system::Pace;
/// use std::time::Duration;
/// let mut pace = Pace::new(Duration::from_secs(10));
/// (0..9).for_each(|_| pace.unchanged());
/// assert_eq!(pace.interval(), Duration::from_secs(60));
/// pace.changed();
/// assert_eq!(pace.interval(), Duration::from_secs(10));
/// ```
#[derive(Debug, Clone)]
pub struct Pace {
    first: Duration,
    now: Duration,
}

impl Pace {
    /// `poll` is the least interval.
    pub fn new(poll: Duration) -> Self {
        Self { first: poll, now: poll }
    }

    /// The time from one query to the next.
    pub fn interval(&self) -> Duration {
        self.now
    }

    /// The last look showed nothing new.
    pub fn unchanged(&mut self) {
        self.now = self.now.mul_f64(1.5).min(self.first * 6);
    }

    /// It did.
    pub fn changed(&mut self) {
        self.now = self.first;
    }
}
