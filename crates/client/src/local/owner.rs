//! Whom local jobs belong to: the runner of a machine, or one process that runs them itself.

use std::fmt;

use cluster_localqueue::machine::Identity;

/// The owner of local jobs, as the store writes it: `MACHINE`, or `MACHINE/PID.START` for a process of
/// `--foreground`, whose jobs end with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    machine: String,
    /// The process and its start in clock ticks since boot.
    process: Option<(u32, u64)>,
}

impl Owner {
    /// The runner of this machine.
    pub fn runner() -> Self {
        Self { machine: Identity::here().machine, process: None }
    }

    /// This process.
    pub fn this_process() -> Self {
        let pid = std::process::id();
        Self { process: Some((pid, started_at(pid).unwrap_or(0))), ..Self::runner() }
    }

    /// The machine, where it is the machine's runner.
    pub fn runner_of(&self) -> Option<&str> {
        self.process.is_none().then_some(self.machine.as_str())
    }

    /// Reads it.
    pub fn parse(text: &str) -> Self {
        let process = text.rsplit_once('/').and_then(|(machine, process)| {
            let (pid, start) = process.split_once('.')?;
            Some((machine, (pid.parse().ok()?, start.parse().ok()?)))
        });
        match process {
            Some((machine, process)) => Self { machine: machine.to_owned(), process: Some(process) },
            None => Self { machine: text.to_owned(), process: None },
        }
    }

    /// Whether it is of the same machine.
    pub fn is_of(&self, other: &Self) -> bool {
        self.machine == other.machine
    }

    /// The process, where it is one that runs its jobs itself.
    pub fn process(&self) -> Option<u32> {
        self.process.map(|(pid, _)| pid)
    }

    /// Whether it is a process of this machine that is gone.
    pub fn is_gone(&self) -> bool {
        self.process.is_some_and(|(pid, start)| started_at(pid) != Some(start))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.machine)?;
        self.process.map_or(Ok(()), |(pid, start)| write!(f, "/{pid}.{start}"))
    }
}

fn started_at(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the 20th field after it is the start.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // One that only waits to be reaped runs nothing any more.
    let state = fields.next().filter(|state| !matches!(*state, "Z" | "X"));
    state.and(fields.nth(18))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_read_back() {
        for owner in [Owner::runner(), Owner::this_process()] {
            assert_eq!(Owner::parse(&owner.to_string()), owner);
            assert!(!owner.is_gone());
        }
        let gone = Owner { process: Some((std::process::id(), 1)), ..Owner::runner() };
        assert!(gone.is_gone() && gone.is_of(&Owner::runner()));
        assert_eq!(Owner::parse("a/b").process, None);
    }
}
