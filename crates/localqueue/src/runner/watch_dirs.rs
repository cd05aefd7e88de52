//! inotify: the runner's own directory, and the `events/new` of every root.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};

/// What happened.
pub(crate) enum Seen {
    /// The runner's directory was removed or moved.
    HomeGone,
    /// The socket was removed.
    SocketGone,
    /// Somebody put an event into this root.
    Events(PathBuf),
}

#[derive(Debug, Clone)]
pub(crate) struct Watch {
    fd: Arc<OwnedFd>,
    roots: Arc<Mutex<HashMap<i32, PathBuf>>>,
}

impl Watch {
    /// `None` where the system has no more of them to give: then events wait for the next command.
    pub(crate) fn new() -> Option<Self> {
        let fd = init(CreateFlags::CLOEXEC).ok()?;
        Some(Self { fd: Arc::new(fd), roots: Arc::default() })
    }

    pub(crate) fn add_home(&self, dir: &Path) {
        let _ =
            add_watch(&*self.fd, dir, WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::DELETE);
    }

    pub(crate) fn add_root(&self, root: &Path) {
        let dir = root.join("events/new");
        if let Ok(number) = add_watch(&*self.fd, &dir, WatchFlags::MOVED_TO) {
            self.roots.lock().unwrap_or_else(PoisonError::into_inner).insert(number, root.to_owned());
        }
    }

    /// Tells all that is seen; returns when the descriptor fails.
    pub(crate) fn run(&self, mut tell: impl FnMut(Seen)) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&*self.fd, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) => {
                    tell(Seen::HomeGone);
                }
                // The directory itself lives on while we have files of it open.
                Ok(event) if event.events().contains(ReadFlags::DELETE) => match event.file_name() {
                    Some(name) if name == c"lock" => tell(Seen::HomeGone),
                    Some(name) if name == c"socket" => tell(Seen::SocketGone),
                    _ => {}
                },
                Ok(event) => {
                    let roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(root) = roots.get(&event.wd()).cloned() {
                        drop(roots);
                        tell(Seen::Events(root));
                    }
                }
                Err(error) if io::Error::from(error).kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}
