//! How the C library hands out memory.
//!
//! By default the heap of each thread but the first grows 4 KiB at a time by `mprotect`, and each time the kernel
//! interrupts the cores of the others. Pages that are not touched cost nothing: heaps grow in large steps here.

/// For a short command: its two threads take turns (one asks SQLite, the other is SQLite), and share one heap. Two heaps
/// with small steps take a tenth of `ls --all`.
pub(crate) fn of_command() {
    one_for_all();
    large_steps();
}

/// For the runner, whose threads work at the same time.
pub(crate) fn of_runner() {
    large_steps();
}

#[cfg(target_env = "gnu")]
fn one_for_all() {
    // SAFETY: plain numbers, before there is a second thread. A C library that knows no such setting says 0.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

#[cfg(target_env = "gnu")]
fn large_steps() {
    const STEP: libc::c_int = 1 << 20;
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_TOP_PAD, STEP) };
}

/// Other C libraries have one heap.
#[cfg(not(target_env = "gnu"))]
fn one_for_all() {}

#[cfg(not(target_env = "gnu"))]
fn large_steps() {}
