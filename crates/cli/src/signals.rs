//! Ctrl-C and the like, as something that can be polled with other descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use cluster_client::{ClientError, Stage};
use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::exit::Exit;
use crate::output::talk;

/// The signals that were sent to us since they are watched.
pub(crate) struct Signals {
    bell: UnixStream,
    last: Arc<AtomicUsize>,
    /// The last one that was taken.
    taken: AtomicI32,
}

impl Signals {
    /// From now on INT, TERM and HUP do not end us.
    pub(crate) fn watch() -> io::Result<Self> {
        let (bell, ring) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        let last = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, last.clone(), signal as usize)?;
            signal_hook::low_level::pipe::register(signal, ring.try_clone()?)?;
        }
        Ok(Self { bell, last, taken: AtomicI32::new(SIGINT) })
    }

    /// Says `text` at the first one and ends this process by it; for what waits, and has nothing to lose.
    pub(crate) fn end_by(text: String) -> io::Result<()> {
        Self::each(move |signal| {
            talk(&text);
            std::process::exit(128 + signal);
        })
    }

    /// Does this at each one, in a thread of its own.
    fn each(mut action: impl FnMut(i32) + Send + 'static) -> io::Result<()> {
        let signals = Self::watch()?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            loop {
                let mut bell = [PollFd::new(&signals.bell, PollFlags::IN)];
                let _ = poll(&mut bell, None);
                if let Some(signal) = signals.take() {
                    action(signal);
                }
            }
        })?;
        Ok(())
    }

    /// The last one, if there was one since the last call.
    pub(crate) fn take(&self) -> Option<i32> {
        let mut buffer = [0; 64];
        while matches!(io::Read::read(&mut &self.bell, &mut buffer), Ok(1..)) {}
        let signal = Some(self.last.swap(0, Ordering::SeqCst) as i32).filter(|&signal| signal != 0)?;
        self.taken.store(signal, Ordering::SeqCst);
        Some(signal)
    }

    /// As if the one that was taken last had ended us.
    pub(crate) fn exit(&self) -> Exit {
        Exit::by(self.taken.load(Ordering::SeqCst))
    }
}

/// While something is read into a stage: a signal ends us, and what was read goes.
pub(crate) struct Reading(Arc<Mutex<Staged>>);

struct Staged {
    reading: bool,
    dir: Option<PathBuf>,
}

impl Reading {
    /// From now on, until it is dropped. Afterwards signals end us as ever where nobody else watches them: `alone`.
    pub(crate) fn start(alone: bool) -> io::Result<Self> {
        let staged = Arc::new(Mutex::new(Staged { reading: true, dir: None }));
        let seen = Arc::clone(&staged);
        Signals::each(move |signal| {
            // Whoever waits for the lock to go on waits until we have ended.
            let staged = seen.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(dir) = &staged.dir {
                let _ = std::fs::remove_dir_all(dir);
            }
            if alone || staged.reading {
                std::process::exit(128 + signal);
            }
        })?;
        Ok(Self(staged))
    }

    /// Makes the stage. A signal that comes meanwhile finds it.
    pub(crate) fn stage(
        &self,
        make: impl FnOnce() -> Result<Stage, ClientError>,
    ) -> Result<Stage, ClientError> {
        let mut staged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stage = make()?;
        staged.dir = Some(stage.dir().to_owned());
        Ok(stage)
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Staged { reading: false, dir: None };
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
