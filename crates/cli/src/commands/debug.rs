//! `cluster debug`: what a site sends us with a bug report.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use cluster_core::dialect::{DialectError, Reading, Site};
use cluster_core::host::Output;
use cluster_core::state::ExitStatus;
use cluster_options::config::SystemConfig;
use serde::Serialize;

use crate::exit::{Exit, usage};
use crate::output::json;
use crate::schedulers::{SCHEDULERS, scheduler};

/// The options of `debug`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print as JSON what is understood of a recorded output of a scheduler's command
    Parse(Parse),
}

#[derive(Debug, clap::Args)]
struct Parse {
    /// slurm, pbs, torque or sge
    scheduler: String,
    /// The command line that was run, as one word: 'squeue --json'
    #[arg(value_name = "COMMAND LINE")]
    command: OsString,
    /// The file with its stdout; - is stdin
    file: PathBuf,
    /// The file with its stderr
    #[arg(long, value_name = "FILE")]
    stderr: Option<PathBuf>,
    /// Its exit code
    #[arg(long, value_name = "N", default_value_t = 0)]
    rc: i32,
}

/// What was understood; version 1.
#[derive(Serialize)]
struct Understood<'a> {
    v: u32,
    scheduler: &'a str,
    command: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reading: Option<&'a Reading<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a DialectError>,
    /// The error, and those of the records, as they are told to people.
    messages: Vec<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Command::Parse(args) = &args.command;
    let known = crate::schedulers::kind(&args.scheduler).and_then(scheduler);
    let Some(known) = known else {
        let names = SCHEDULERS.iter().map(|known| known.kind.as_str()).collect::<Vec<_>>().join(", ");
        return Err(usage(format!("{} is no scheduler that is read: there are {names}", args.scheduler)));
    };
    let argv = words(args.command.as_bytes())?;
    let dialect = (known.dialect)(&SystemConfig::new(known.kind));
    let stderr = args.stderr.as_deref().map(read).transpose()?.unwrap_or_default();
    let status = ExitStatus::Exit(args.rc);
    let output = Output { status, stdout: read(&args.file)?, stderr, truncated: false };
    let result = dialect.read(&argv, &output);
    let (reading, error) = match &result {
        Ok(reading) => (Some(reading), None),
        Err(error) => (None, Some(error)),
    };
    let records: &[DialectError] = match reading {
        Some(Reading::Jobs(jobs)) => &jobs.errors,
        _ => &[],
    };
    // Lines of which none was known are not said to be understood.
    let nothing = match reading {
        Some(Reading::Site(site)) => *site == Site::default() && !output.stdout.trim_ascii().is_empty(),
        _ => false,
    };
    let not_read =
        |error: &&DialectError| matches!(error, DialectError::Syntax { .. } | DialectError::NotRead { .. });
    let odd = error.into_iter().chain(records).any(|error| not_read(&error));
    json(&Understood {
        v: 1,
        scheduler: dialect.name(),
        command: argv.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        reading,
        error,
        messages: error
            .into_iter()
            .chain(records)
            .map(ToString::to_string)
            .chain(nothing.then(|| "nothing of this is what the command prints".to_owned()))
            .collect(),
    })?;
    Ok(if odd || nothing { Exit::JOB_FAILED } else { Exit::GOOD })
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(file).map(|all| bytes = all)
    };
    read.map_err(|error| usage(format!("cannot read {}: {error}", file.display())))?;
    Ok(bytes)
}

/// The words of a command line, with quotes and backslashes as a shell has them; nothing is expanded.
fn words(line: &[u8]) -> anyhow::Result<Vec<OsString>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' | b'\t' | b'\n' => words.extend(word.take()),
            b'\'' | b'"' => {
                let word = word.get_or_insert_default();
                loop {
                    match bytes.next() {
                        Some(end) if end == byte => break,
                        Some(b'\\') if byte == b'"' => match bytes.next() {
                            Some(next) if b"\\\"$`".contains(&next) => word.push(next),
                            Some(next) => word.extend([b'\\', next]),
                            None => return Err(usage("the command line ends within quotes")),
                        },
                        Some(inside) => word.push(inside),
                        None => return Err(usage("the command line ends within quotes")),
                    }
                }
            }
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    if words.is_empty() {
        return Err(usage("the command line is empty"));
    }
    Ok(words.into_iter().map(OsString::from_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let read = |line: &str| words(line.as_bytes()).unwrap();
        assert_eq!(read(" squeue  -o '%i|%j' "), ["squeue", "-o", "%i|%j"]);
        assert_eq!(read(r#"a "b \"c\" \d" e\ f '' g"h"i"#), ["a", r#"b "c" \d"#, "e f", "", "ghi"]);
        assert!(words(b"a 'b").is_err() && words(b"\"a\\").is_err() && words(b" ").is_err());
    }
}
