//! What the kernel says of processes: CPU, memory, context switches.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Context as _;

/// User and system time of a process and of the children that it waited for, in seconds.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<f64> {
    let stat = stat(pid)?;
    let ticks: u64 = stat.cpu_ticks.iter().sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Those of ourselves and of all children that ended.
pub(crate) fn own_cpu() -> anyhow::Result<f64> {
    cpu(std::process::id())
}

/// Whether any thread of it still lives. The first may be a zombie while others hold files and locks.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().any(|task| {
        let text = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        parse_stat(&text).is_some_and(|stat| stat.state != 'Z' && stat.state != 'X')
    })
}

struct Stat {
    state: char,
    /// utime, stime, cutime, cstime.
    cpu_ticks: [u64; 4],
}

fn stat(pid: u32) -> anyhow::Result<Stat> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid} is gone"))?;
    parse_stat(&text).with_context(|| format!("/proc/{pid}/stat cannot be read: {text}"))
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name in parentheses may hold anything, also blanks and parentheses.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |i: usize| fields.get(i)?.parse().ok();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        cpu_ticks: [number(11)?, number(12)?, number(13)?, number(14)?],
    })
}

/// Memory in MiB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Memory {
    pub(crate) rss: f64,
    pub(crate) pss: f64,
}

/// Memory of a process; nothing where it is gone or has none yet.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    parse_rollup(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?)
}

fn parse_rollup(text: &str) -> Option<Memory> {
    Some(Memory { rss: kib(text, "Rss:")? / 1024.0, pss: kib(text, "Pss:")? / 1024.0 })
}

fn kib(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// How often each thread of a process went to sleep by itself.
pub(crate) type Switches = BTreeMap<String, u64>;

/// See [`Switches`].
pub(crate) fn voluntary_switches(pid: u32) -> anyhow::Result<Switches> {
    let mut all = Switches::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} is gone"))? {
        let task = task?;
        // A thread may end while we look.
        let Ok(status) = fs::read_to_string(task.path().join("status")) else { continue };
        let count = kib(&status, "voluntary_ctxt_switches:").context("no count of context switches")?;
        all.insert(task.file_name().to_string_lossy().into_owned(), count as u64);
    }
    Ok(all)
}

/// What happened between two looks; a thread that ended must have been awake.
pub(crate) fn switches_between(before: &Switches, after: &Switches) -> u64 {
    let ended = before.keys().filter(|thread| !after.contains_key(*thread)).count() as u64;
    let awake: u64 =
        after.iter().map(|(thread, &now)| now - before.get(thread).copied().unwrap_or(0).min(now)).sum();
    ended + awake
}

/// The runner that lives in `dir`.
pub(crate) fn find_runner(dir: &Path) -> Option<u32> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        (is_runner(&line, dir) && is_alive(pid)).then_some(pid)
    })
}

fn is_runner(line: &[u8], dir: &Path) -> bool {
    let words: Vec<&[u8]> = line.split(|&b| b == 0).collect();
    words.windows(2).any(|pair| pair[0] == b"__runner" && pair[1] == dir.as_os_str().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = parse_stat("12 (a) (b c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
        assert_eq!((stat.state, stat.cpu_ticks), ('S', [11, 12, 13, 14]));
        assert!(parse_stat("12 (a) S 1").is_none());
    }

    #[test]
    fn memory_is_in_mebibytes() {
        let text = "00400000-7ffd rollup\nRss:   2048 kB\nPss:   1024 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(parse_rollup(text), Some(Memory { rss: 2.0, pss: 1.0 }));
    }

    #[test]
    fn a_runner_is_known_by_its_directory() {
        let line = b"/x/cluster\0__runner\0/q/a\x002\0";
        assert!(is_runner(line, Path::new("/q/a")));
        assert!(!is_runner(line, Path::new("/q")));
        assert!(!is_runner(b"vi\0__runner.rs\0/q/a\0", Path::new("/q/a")));
    }

    #[test]
    fn threads_that_come_and_go_count_as_awake() {
        let threads =
            |all: &[(&str, u64)]| all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let before: Switches = threads(&[("1", 5), ("2", 7)]);
        assert_eq!(switches_between(&before, &before), 0);
        assert_eq!(switches_between(&before, &threads(&[("1", 6), ("3", 2)])), 4);
    }

    #[test]
    fn we_are_alive_and_use_time() {
        assert!(is_alive(std::process::id()));
        assert!(own_cpu().unwrap() >= 0.0);
        assert!(memory(std::process::id()).unwrap().pss > 0.0);
        assert!(voluntary_switches(std::process::id()).is_ok());
    }
}
