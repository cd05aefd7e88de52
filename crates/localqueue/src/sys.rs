//! The few system calls that no safe crate offers. All `unsafe` of this crate is here.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;

use cluster_core::ExitStatus;

use crate::event::Usage;

/// Gives the calling thread a working directory and umask of its own.
///
/// # Errors
/// Where the kernel refuses (a seccomp filter).
pub(crate) fn unshare_fs() -> io::Result<()> {
    // SAFETY: the call takes no pointers; it only detaches this thread's cwd and umask from the others'.
    if unsafe { libc::unshare(libc::CLONE_FS) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Keeps descriptors that this process was started with from the processes that it starts: a runner lives on, and with
/// it the locks and pipes of a shell that happened to start it.
pub fn keep_from_children() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: no pointers; it sets a flag of descriptors, and neither closes nor opens any.
    let done =
        unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return;
    }
    // Before Linux 5.11 there is no such call.
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    for fd in open.filter_map(|entry| entry.file_name().to_str()?.parse::<libc::c_int>().ok()) {
        if fd >= FIRST as libc::c_int {
            // SAFETY: as above; of a descriptor that is closed by now the call only says so.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Reaps a child that has ended (or waits for it) and gives its status and usage.
///
/// # Errors
/// `ECHILD` where it is no child of ours.
pub(crate) fn reap(pid: i32) -> io::Result<(ExitStatus, Usage)> {
    let mut status = 0;
    // SAFETY: `rusage` is plain data for which all zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to live, writable locals of the right types.
        let result = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if result == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let status = if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(libc::WTERMSIG(status))
    } else {
        ExitStatus::Exit(libc::WEXITSTATUS(status))
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok((
        status,
        Usage { cpu_us: micros(usage.ru_utime) + micros(usage.ru_stime), max_rss_kb: usage.ru_maxrss as u64 },
    ))
}

/// How many bytes can be read from a pipe now.
pub(crate) fn readable(fd: BorrowedFd<'_>) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int to the pointer, which is to a live local.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
    if result == 0 { bytes.max(0) as usize } else { 0 }
}

/// Time since boot, with the time the machine slept, in µs: the clock of `/proc/<pid>/stat`.
pub(crate) fn boot_micros() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

/// Clock ticks a second in `/proc/<pid>/stat`.
pub(crate) fn ticks_per_second() -> u64 {
    rustix::param::clock_ticks_per_second()
}

/// The environment of a submission's jobs, made once: each job adds its own few variables.
#[derive(Debug)]
pub(crate) struct EnvBlock {
    variables: Vec<CString>,
}

impl EnvBlock {
    /// `NAME=VALUE` for each; one with a NUL in it cannot be in an environment and is left out.
    pub(crate) fn new<'a>(variables: impl IntoIterator<Item = (&'a OsStr, &'a OsStr)>) -> Self {
        let joined = variables.into_iter().filter_map(|(name, value)| {
            let mut text = name.as_bytes().to_vec();
            text.push(b'=');
            text.extend_from_slice(value.as_bytes());
            CString::new(text).ok()
        });
        Self { variables: joined.collect() }
    }
}

/// A program, its words, its environment and its three first descriptors.
pub(crate) struct Spawn<'a> {
    pub(crate) program: &'a CStr,
    pub(crate) words: &'a [CString],
    pub(crate) env: &'a EnvBlock,
    pub(crate) own_env: &'a [CString],
    pub(crate) stdio: [BorrowedFd<'a>; 3],
}

/// Starts a process as the leader of a new group, with SIGPIPE as a program expects it and no signal
/// blocked. Goes by `posix_spawn`, as the standard library does, but with the environment made once: for
/// short jobs building it anew is a third of our own time.
///
/// # Errors
/// What `execve` says.
pub(crate) fn spawn(spawn: &Spawn<'_>) -> io::Result<u32> {
    let mut argv: Vec<*mut libc::c_char> = spawn.words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    argv.push(std::ptr::null_mut());
    let variables = spawn.env.variables.iter().chain(spawn.own_env);
    let mut envp: Vec<*mut libc::c_char> = variables.map(|variable| variable.as_ptr().cast_mut()).collect();
    envp.push(std::ptr::null_mut());
    // A descriptor below 3 (our own stdio was closed) would be overwritten before it is used.
    let mut above = [None, None, None];
    for (fd, above) in spawn.stdio.iter().zip(&mut above) {
        if fd.as_raw_fd() < 3 {
            *above = Some(rustix::io::fcntl_dupfd_cloexec(fd, 3)?);
        }
    }
    let stdio = [0, 1, 2].map(|i| above[i].as_ref().map_or(spawn.stdio[i], AsFd::as_fd));
    let check = |code: libc::c_int| if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) };

    let mut actions = MaybeUninit::<libc::posix_spawn_file_actions_t>::uninit();
    let mut attributes = MaybeUninit::<libc::posix_spawnattr_t>::uninit();
    // SAFETY: both objects are initialised here before any other use, and destroyed below on every way out.
    unsafe {
        check(libc::posix_spawn_file_actions_init(actions.as_mut_ptr()))?;
        if let Err(error) = check(libc::posix_spawnattr_init(attributes.as_mut_ptr())) {
            libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
            return Err(error);
        }
    }
    let mut pid = 0;
    let mut start = || {
        let mut signals = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `actions` and `attributes` are initialised; `signals` is by `sigemptyset` before it is
        // read; the pointers in `argv` and `envp` are to NUL-ended strings that live until after the call,
        // and both lists end with a null pointer; the kernel only reads them.
        unsafe {
            for (target, fd) in stdio.iter().enumerate() {
                let target = target as libc::c_int;
                check(libc::posix_spawn_file_actions_adddup2(actions.as_mut_ptr(), fd.as_raw_fd(), target))?;
            }
            libc::sigemptyset(signals.as_mut_ptr());
            check(libc::posix_spawnattr_setsigmask(attributes.as_mut_ptr(), signals.as_ptr()))?;
            libc::sigaddset(signals.as_mut_ptr(), libc::SIGPIPE);
            check(libc::posix_spawnattr_setsigdefault(attributes.as_mut_ptr(), signals.as_ptr()))?;
            check(libc::posix_spawnattr_setpgroup(attributes.as_mut_ptr(), 0))?;
            let flags =
                libc::POSIX_SPAWN_SETPGROUP | libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK;
            check(libc::posix_spawnattr_setflags(attributes.as_mut_ptr(), flags as libc::c_short))?;
            check(libc::posix_spawn(
                &raw mut pid,
                spawn.program.as_ptr(),
                actions.as_ptr(),
                attributes.as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
            ))
        }
    };
    let started = start();
    // SAFETY: both were initialised above and are not used after this.
    unsafe {
        libc::posix_spawnattr_destroy(attributes.as_mut_ptr());
        libc::posix_spawn_file_actions_destroy(actions.as_mut_ptr());
    }
    started.map(|()| pid as u32)
}
