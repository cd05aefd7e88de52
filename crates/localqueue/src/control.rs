//! How others reach the slot that watches a job.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// One slot's bell: who rings it names the signal with which the job's end is asked for.
#[derive(Debug)]
pub(crate) struct Control {
    bell: OwnedFd,
    asked: AtomicI32,
    bare: AtomicBool,
}

impl Control {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            asked: AtomicI32::new(0),
            bare: AtomicBool::new(false),
        })
    }

    /// Asks for the end of the job by `signal`. Only while the engine's lock says that it runs here.
    pub(crate) fn ask(&self, signal: i32) {
        self.asked.store(signal, Ordering::SeqCst);
        // Full means that it rings already.
        let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
    }

    /// Whether only we will see the end of the job that runs here.
    pub(crate) fn is_bare(&self) -> bool {
        self.bare.load(Ordering::SeqCst)
    }

    pub(crate) fn set_bare(&self, bare: bool) {
        self.bare.store(bare, Ordering::SeqCst);
    }

    /// The signal asked for since the last call. Costs no system call.
    pub(crate) fn take(&self) -> Option<i32> {
        Some(self.asked.swap(0, Ordering::SeqCst)).filter(|&signal| signal != 0)
    }

    /// Stops the ringing.
    pub(crate) fn silence(&self) {
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
