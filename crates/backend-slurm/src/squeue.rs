//! squeue: the jobs that the controller knows.

use std::ffi::OsString;

use cluster_core::dialect::{DialectError, Jobs, RangeBudget, Reading, Row, Whose};
use cluster_core::host::{Invocation, Output};

use crate::command_line::{CommandLine, Known};
use crate::row::{Draft, Field};
use crate::state::Source;
use crate::table::{Column, Table};
use crate::{environment, json, refusal};

const OPTIONS: &[Known] = &[
    (b'A', "account", true),
    (b'a', "all", false),
    (b'r', "array", false),
    (0, "federation", false),
    (b'o', "format", true),
    (b'O', "Format", true),
    (b'h', "noheader", false),
    (0, "noconvert", false),
    (0, "helpformat", false),
    (0, "helpFormat", false),
    (b'i', "iterate", true),
    (b'j', "jobs", true),
    (0, "json", false),
    (0, "yaml", false),
    (b'l', "long", false),
    (b'L', "licenses", true),
    (0, "local", false),
    (b'M', "clusters", true),
    (0, "me", false),
    (b'n', "name", true),
    (0, "only-job-state", false),
    (b'p', "partition", true),
    (b'P', "priority", false),
    (b'q', "qos", true),
    (b'R', "reservation", true),
    (0, "sibling", false),
    (b'S', "sort", true),
    (0, "start", false),
    (b's', "steps", false),
    (b't', "states", true),
    (b'u', "user", true),
    (b'v', "verbose", false),
    (b'V', "version", false),
    (b'w', "nodelist", true),
];

/// The columns that we ask for. None but the last three can hold the delimiter or a line feed; those have
/// widths, so that a row is cut exactly whatever somebody wrote there, and nobody can forge another's row.
/// A tag has 11 characters, a name of ours 52.
const COLUMNS: &str = "JobArrayID:|,State:|,UserName:|,Partition:|,NumNodes:|,NumCPUs:|,TimeLimit:|,\
                       SubmitTime:|,StartTime:|,EndTime:|,RestartCnt:|,exit_code:|,tres-alloc:|,NodeList:|,\
                       Reason:120|,Comment:11|,Name:64|";

/// The command line that asks for everything. All states, for two reasons: a job that ended within
/// MinJobAge is still there with its end, which is all that a site without accounting ever says; and a job
/// in a rare state (STAGE_OUT, RESV_DEL_HOLD) is in no default. The exit code is the wait status as a number,
/// and true, other than sacct's. All partitions, too: without `--all` Slurm leaves out the jobs in hidden ones, also
/// the user's own.
pub(crate) fn query(whose: Whose<'_>) -> Invocation {
    let mut argv: Vec<OsString> =
        ["squeue", "--all", "--noheader", "--states=all"].map(OsString::from).to_vec();
    if let Whose::Users(users) = whose
        && !users.is_empty()
    {
        argv.push(format!("--user={}", users.join(",")).into());
    }
    argv.push(format!("--Format={COLUMNS}").into());
    // 700,000 rows.
    Invocation { output_cap: 256 << 20, ..environment::plain(Invocation::new(argv)) }
}

/// Reads what squeue printed.
pub(crate) fn read<'o>(argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let line = CommandLine::read(argv, OPTIONS);
    refusal::check("squeue", output)?;
    if line.has("version") {
        return Ok(Reading::Site(crate::sbatch::version(&output.stdout)));
    }
    if line.has("json") {
        return json::squeue(output);
    }
    let stdout = output.stdout.as_slice();
    let table = match (line.value("Format"), line.value("format")) {
        _ if line.has("yaml") || line.has("steps") || line.has("helpformat") => None,
        (Some(format), _) => long_format(format, !line.has("noheader")),
        (_, Some(b"%all")) => named_by_header(stdout),
        (_, Some(format)) => short_format(format, !line.has("noheader")),
        _ => None,
    };
    match table.filter(Table::is_readable) {
        Some(table) => Ok(Reading::Jobs(jobs(&table, stdout))),
        None => Err(DialectError::NotRead {
            command: Invocation::new(argv.iter().cloned()).command_line(),
            why: "its columns are cut to their width, so that ids and names may be incomplete; read are \
                  `squeue -o` and `-O` with delimiters or widths, `-o %all` and `--json`"
                .to_owned(),
        }),
    }
}

/// The rows of a table.
pub(crate) fn jobs<'o>(table: &Table<Field>, text: &'o [u8]) -> Jobs<'o> {
    let mut rows: Vec<Row<'o>> = Vec::with_capacity(crate::table::lines(text));
    let mut ranges = RangeBudget::default();
    let errors = table.read(text, |fields, record| {
        let mut draft = Draft::new(record);
        for (i, (column, value)) in table.columns.iter().zip(fields).enumerate() {
            draft.set(column.field, value).ok_or(i)?;
        }
        let row = draft.finish(Source::Controller).filter(|row| ranges.admits(&row.tasks));
        rows.push(row.ok_or(0usize)?);
        Ok(())
    });
    Jobs { rows, errors }
}

/// The columns of `-O "JobID:|,Name:60|"`: name, colon, width and suffix. Without a colon a column has 20
/// bytes; with one and no number as many as its value.
fn long_format(format: &[u8], header: bool) -> Option<Table<Field>> {
    let format = std::str::from_utf8(format).ok()?;
    let mut columns = Vec::new();
    for item in format.split(',') {
        let (name, rest) = item.split_once(':').unwrap_or((item, "20"));
        let rest = rest.strip_prefix('.').unwrap_or(rest);
        let suffix = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let width = &rest[..rest.len() - suffix.len()];
        let width = if width.is_empty() { 0 } else { width.parse().ok().filter(|w| *w <= 65_536)? };
        columns.push(Column { field: long_field(name), width, suffix: suffix.to_owned() });
    }
    Some(Table::new("squeue", columns, header))
}

fn long_field(name: &str) -> Field {
    match name.trim().to_ascii_lowercase().as_str() {
        "jobarrayid" => Field::Id,
        "jobid" => Field::RawId,
        "arrayjobid" => Field::ArrayJob,
        "arraytaskid" => Field::ArrayTask,
        "name" => Field::Name,
        "username" => Field::User,
        "partition" => Field::Partition,
        "state" | "statecompact" => Field::State,
        "reason" => Field::Reason,
        "reasonlist" => Field::ReasonOrHosts,
        "nodelist" => Field::Hosts,
        "numnodes" => Field::Nodes,
        "numcpus" => Field::Cores,
        "timelimit" => Field::Limit,
        "submittime" => Field::Submitted,
        "starttime" => Field::Started,
        "endtime" => Field::Ended,
        "restartcnt" => Field::Restarts,
        "exit_code" => Field::WaitStatus,
        "comment" => Field::Comment,
        "tres-alloc" | "tres" => Field::Tres,
        "timeleft" | "timeused" | "userid" | "groupid" | "prioritylong" | "priority" | "numtasks" => {
            Field::OtherWord
        }
        _ => Field::OtherText,
    }
}

/// The columns of `-o "%i|%.9P %R"`: percent, width, letter, and what stands before the next percent.
fn short_format(format: &[u8], header: bool) -> Option<Table<Field>> {
    let format = std::str::from_utf8(format).ok()?;
    let mut items = format.split('%');
    // A text before the first column would stand before every row.
    if !items.next()?.is_empty() {
        return None;
    }
    let mut columns = Vec::new();
    for item in items {
        let item = item.strip_prefix('.').unwrap_or(item);
        let rest = item.trim_start_matches(|c: char| c.is_ascii_digit());
        let width = &item[..item.len() - rest.len()];
        let width = if width.is_empty() { 0 } else { width.parse().ok().filter(|w| *w <= 65_536)? };
        let mut letters = rest.chars();
        let field = short_field(letters.next()?);
        columns.push(Column { field, width, suffix: letters.as_str().to_owned() });
    }
    Some(Table::new("squeue", columns, header))
}

fn short_field(letter: char) -> Field {
    match letter {
        'i' => Field::Id,
        'A' => Field::RawId,
        'F' => Field::ArrayJob,
        'K' => Field::ArrayTask,
        'j' => Field::Name,
        'u' => Field::User,
        'P' => Field::Partition,
        'T' | 't' => Field::State,
        'r' => Field::Reason,
        'R' => Field::ReasonOrHosts,
        'N' => Field::Hosts,
        'D' => Field::Nodes,
        'C' => Field::Cores,
        'l' => Field::Limit,
        'V' => Field::Submitted,
        'S' => Field::Started,
        'e' => Field::Ended,
        'k' => Field::Comment,
        // `%m` is by node or by core, and does not say which.
        'm' | 'M' | 'L' | 'U' | 'G' | 'g' | 'p' | 'Q' | 'a' | 'y' | 'h' | 'c' | 'd' | 'H' | 'I' | 'J'
        | 'X' | 'O' => Field::OtherWord,
        _ => Field::OtherText,
    }
}

/// The columns of `-o %all`, which only the header tells.
fn named_by_header(text: &[u8]) -> Option<Table<Field>> {
    let header = std::str::from_utf8(text.get(..crate::table::line_end(text, 0))?).ok()?;
    let names: Vec<&str> = header.split('|').collect();
    let last = names.len().checked_sub(1)?;
    let mut seen = Vec::new();
    let mut columns = Vec::new();
    for (i, name) in names.iter().copied().enumerate() {
        let field = match name {
            // The first is %i, the second %A.
            "JOBID" if !seen.contains(&"JOBID") => Field::Id,
            "JOBID" => Field::RawId,
            "NAME" => Field::Name,
            "USER" => Field::User,
            "PARTITION" => Field::Partition,
            "STATE" => Field::State,
            "REASON" => Field::Reason,
            "NODELIST" => Field::Hosts,
            "NODES" => Field::Nodes,
            "CPUS" => Field::Cores,
            "TIME_LIMIT" => Field::Limit,
            "SUBMIT_TIME" => Field::Submitted,
            "START_TIME" => Field::Started,
            "END_TIME" => Field::Ended,
            "COMMENT" => Field::Comment,
            "NODELIST(REASON)" | "COMMAND" | "WORK_DIR" | "DEPENDENCY" | "FEATURES" | "WCKEY" => {
                Field::OtherText
            }
            _ => Field::OtherWord,
        };
        seen.push(name);
        columns.push(Column { field, width: 0, suffix: if i == last { "" } else { "|" }.to_owned() });
    }
    seen.contains(&"JOBID").then_some(Table::new("squeue", columns, true))
}
