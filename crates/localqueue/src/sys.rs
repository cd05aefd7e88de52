//! The few system calls that no safe crate offers. All `unsafe` of this crate is here.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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
