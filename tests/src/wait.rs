//! Waiting for a condition where there is no event to wait on.

use std::time::{Duration, Instant};

/// What takes longer than this never comes.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks until `condition` holds.
///
/// # Panics
/// Where it does not in time.
pub fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    wait_some(what, || condition().then_some(()));
}

/// Looks until there is something.
///
/// # Panics
/// Where there is nothing in time.
pub fn wait_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < DEADLINE, "waited {DEADLINE:?} in vain: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}
