//! How the C library hands out memory in a short command.

/// One heap for all threads, that grows in large steps.
///
/// A command has two threads that take turns: one asks SQLite, the other is SQLite. By default the second has a
/// heap of its own, which grows 4 KiB at a time by `mprotect`, and each time the kernel interrupts the core of the
/// first: a tenth of `ls --all`. Pages that are not touched cost nothing.
#[cfg(target_env = "gnu")]
pub(crate) fn share() {
    const STEP: libc::c_int = 1 << 20;
    // SAFETY: plain numbers, before there is a second thread. A C library that knows no such setting says 0.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
        libc::mallopt(libc::M_TOP_PAD, STEP);
    }
}

/// Other C libraries have one heap.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn share() {}
