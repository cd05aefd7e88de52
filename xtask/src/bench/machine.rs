//! On what it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::tool;

/// See the [module](self): names and values.
pub(crate) struct Machine(Vec<(&'static str, String)>);

/// Looks at this machine; the file system is that of `dir`.
pub(crate) fn describe(dir: &Path) -> Machine {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = field(&cpuinfo, "model name").unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map_or_else(|| "unknown".to_owned(), |kib| format!("{:.0} GiB", kib as f64 / f64::from(1 << 20)));
    // Not `stat --file-system`, which knows all of ext2, ext3 and ext4 by one number.
    let filesystem = tool::read(Command::new("df").arg("--output=fstype").arg(dir));
    let filesystem = filesystem.unwrap_or_default().lines().last().unwrap_or("unknown").trim().to_owned();
    let rustc = tool::read(Command::new("rustc").arg("--version"));
    Machine(vec![
        ("CPU", model),
        ("cores", cores.to_string()),
        ("memory", memory),
        ("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("file system", filesystem),
        ("compiler", rustc.unwrap_or_default().trim().to_owned()),
        ("load before", read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()),
    ])
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

impl Machine {
    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join(" · ")
    }

    pub(crate) fn markdown(&self) -> String {
        self.0.iter().map(|(name, value)| format!("- {name}: {value}\n")).collect()
    }

    pub(crate) fn json(&self) -> Value {
        self.0
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        assert_eq!(field("a\t: 1\nmodel name\t: X 3\n", "model name"), Some("X 3"));
        assert_eq!(field("model name 2: X\n", "model name"), None);
    }
}
