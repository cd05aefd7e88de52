//! sacct: the accounting, with steps folded into their jobs.

use std::collections::HashMap;
use std::ffi::OsString;

use cluster_core::calendar::Utc;
use cluster_core::dialect::{DialectError, Jobs, RangeBudget, Reading, Row};
use cluster_core::host::{Invocation, Output};
use cluster_core::{Cause, ExitStatus, JobState, RemoteId, Timestamp};

use crate::command_line::{CommandLine, Known};
use crate::control::packed;
use crate::row::{Draft, Field};
use crate::state::Source;
use crate::table::{Column, Table};
use crate::{environment, json, refusal};

const OPTIONS: &[Known] = &[
    (b'A', "accounts", true),
    (b'a', "allusers", false),
    (b'b', "brief", false),
    (b'B', "batch-script", false),
    (b'c', "completion", false),
    (0, "delimiter", true),
    (b'D', "duplicates", false),
    (b'E', "endtime", true),
    (b'e', "helpformat", false),
    (0, "env-vars", false),
    (0, "federation", false),
    (b'f', "file", true),
    (b'F', "flags", true),
    (b'g', "gid", true),
    (b'j', "jobs", true),
    (0, "json", false),
    (0, "yaml", false),
    (b'k', "timelimit-min", true),
    (b'K', "timelimit-max", true),
    (b'l', "long", false),
    (b'L', "allclusters", false),
    (0, "local", false),
    (b'M', "clusters", true),
    (b'n', "noheader", false),
    (0, "name", true),
    (b'N', "nodelist", true),
    (0, "noconvert", false),
    (b'o', "format", true),
    (b'p', "parsable", false),
    (b'P', "parsable2", false),
    (b'q', "qos", true),
    (b'r', "partition", true),
    (b'R', "reason", true),
    (b's', "state", true),
    (b'S', "starttime", true),
    (b'T', "truncate", false),
    (b'u', "user", true),
    (b'U', "usage", false),
    (0, "units", true),
    (b'v', "verbose", false),
    (b'V', "version", false),
    (b'W', "wckeys", true),
    (b'x', "associations", true),
    (b'X', "allocations", false),
];

/// What we ask for; the name is last, as it may hold the delimiter.
const COLUMNS: &str = "JobID,State,ExitCode,User,Partition,Submit,Start,End,Timelimit,NNodes,NCPUS,AllocTRES,\
                       ReqMem,MaxRSS,TotalCPU,NodeList,Reason,JobName";

/// So many elements of an array are asked for one by one.
const FEW: usize = 20;

/// The command lines that ask for these jobs, or for all of the user's since then where there are none.
///
/// - With steps, not `-X`: what a job used, and who killed it, stands in the rows of its steps.
/// - With a date: without one only today's jobs are looked at. Asked by user, sacct leaves out jobs that were
///   never eligible (held, dependent); by id it knows them.
/// - Without `-D`: of a job that was requeued the last run alone is wanted; earlier ones have records of
///   their own.
/// - Many elements of one array are asked for by the array: a thousand of them are one word. A few are asked
///   for by their own ids, so that the answer is no larger than the question.
pub(crate) fn query(ids: &[RemoteId], user: &str, since: Timestamp) -> Vec<Invocation> {
    let date = Utc::of(since);
    let invocation = |ids: Option<String>| {
        let mut argv: Vec<OsString> = ["sacct", "--parsable2", "--noheader"].map(OsString::from).to_vec();
        argv.push(format!("--starttime={date}").into());
        argv.push(
            match ids {
                Some(ids) => format!("--jobs={ids}"),
                None => format!("--user={user}"),
            }
            .into(),
        );
        argv.push(format!("--format={COLUMNS}").into());
        environment::plain(Invocation::new(argv))
    };
    if ids.is_empty() {
        return vec![invocation(None)];
    }
    // By array, in the order of the ids.
    let mut order: Vec<&str> = Vec::new();
    let mut asked: HashMap<&str, Vec<&RemoteId>> = HashMap::new();
    for id in ids {
        let job = id.0.split('_').next().unwrap_or(&id.0);
        let elements = asked.entry(job).or_default();
        if elements.is_empty() {
            order.push(job);
        }
        elements.push(id);
    }
    let mut words: Vec<String> = Vec::with_capacity(order.len());
    for job in order {
        match asked.get(job) {
            Some(few) if few.len() <= FEW && !few.iter().any(|id| id.0 == job) => {
                words.extend(few.iter().map(|id| id.0.clone()));
            }
            _ => words.push(job.to_owned()),
        }
    }
    packed(words, ",").into_iter().map(|ids| invocation(Some(ids))).collect()
}

/// Reads what sacct printed.
pub(crate) fn read<'o>(argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let line = CommandLine::read(argv, OPTIONS);
    refusal::check("sacct", output)?;
    if line.has("version") {
        return Ok(Reading::Site(crate::sbatch::version(&output.stdout)));
    }
    if line.has("json") {
        return json::sacct(output);
    }
    let special = ["yaml", "helpformat", "batch-script", "env-vars", "usage", "long", "completion"];
    let parsable = line.has("parsable") || line.has("parsable2");
    if !parsable || special.iter().any(|option| line.has(option)) {
        return Err(DialectError::NotRead {
            command: Invocation::new(argv.iter().cloned()).command_line(),
            why: "its columns are cut to their width, so that ids and states may be incomplete; read are \
                  `sacct -P` and `-p` with any --format, and `--json`"
                .to_owned(),
        });
    }
    let delimiter = line.value("delimiter").map_or("|".into(), String::from_utf8_lossy);
    let format = line.value("format").map_or(
        if line.has("brief") {
            "JobID,State,ExitCode"
        } else {
            "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode"
        }
        .into(),
        String::from_utf8_lossy,
    );
    let names: Vec<&str> = format.split(',').filter(|name| !name.is_empty()).collect();
    let last = names.len().saturating_sub(1);
    let closed = !line.has("parsable2");
    let columns = names
        .iter()
        .enumerate()
        .map(|(i, name)| Column {
            field: field(name),
            width: 0,
            suffix: if i < last || closed { delimiter.clone().into_owned() } else { String::new() },
        })
        .collect();
    let table = Table::new("sacct", columns, !line.has("noheader"));
    if !table.is_readable() || !table.columns.iter().any(|c| matches!(c.field, Field::Id | Field::RawId)) {
        return Err(DialectError::NotRead {
            command: Invocation::new(argv.iter().cloned()).command_line(),
            why: "its format has no JobID".to_owned(),
        });
    }
    Ok(Reading::Jobs(jobs(&table, &output.stdout)))
}

fn field(name: &str) -> Field {
    // `State%40`: the width means nothing in a parsable table.
    let name = name.split('%').next().unwrap_or(name);
    match name.to_ascii_lowercase().as_str() {
        "jobid" => Field::Id,
        "jobidraw" => Field::RawId,
        "jobname" => Field::Name,
        "user" => Field::User,
        "partition" => Field::Partition,
        "state" => Field::State,
        "exitcode" => Field::ExitCode,
        "timelimit" => Field::Limit,
        "submit" => Field::Submitted,
        "start" => Field::Started,
        "end" => Field::Ended,
        "nnodes" | "allocnodes" => Field::Nodes,
        "ncpus" | "alloccpus" => Field::Cores,
        "alloctres" => Field::Tres,
        "reqmem" => Field::Mem,
        "maxrss" => Field::MaxRss,
        "totalcpu" => Field::Cpu,
        "nodelist" => Field::Hosts,
        "reason" => Field::Reason,
        "restarts" => Field::Restarts,
        "comment" => Field::Comment,
        "account" | "derivedexitcode" | "elapsed" | "elapsedraw" | "reqtres" | "cputimeraw" | "cputime"
        | "eligible" | "qos" | "uid" | "gid" | "reqcpus" | "reqnodes" | "ntasks" | "averss" | "priority" => {
            Field::OtherWord
        }
        _ => Field::OtherText,
    }
}

/// The rows of a table, each with what its steps tell.
pub(crate) fn jobs<'o>(table: &Table<Field>, text: &'o [u8]) -> Jobs<'o> {
    let rows = Vec::with_capacity(crate::table::lines(text));
    let mut fold = Fold { rows, steps: Steps::default(), ranges: RangeBudget::default() };
    let errors = table.read(text, |fields, record| {
        let mut draft = Draft::new(record);
        for (i, (column, value)) in table.columns.iter().zip(fields).enumerate() {
            draft.set(column.field, value).ok_or(i)?;
        }
        fold.take(draft)
    });
    fold.settle();
    Jobs { rows: fold.rows, errors }
}

/// Rows, and what the steps of the last one told so far.
struct Fold<'o> {
    rows: Vec<Row<'o>>,
    steps: Steps,
    ranges: RangeBudget,
}

#[derive(Default)]
struct Steps {
    killed_by_slurm: bool,
    cpu: Option<std::time::Duration>,
}

impl<'o> Fold<'o> {
    fn take(&mut self, draft: Draft<'o>) -> Result<(), usize> {
        let step = draft.id.as_ref().is_some_and(|id| id.step.is_some());
        if !step {
            self.settle();
            let row = draft.finish(Source::Accounting).filter(|row| self.ranges.admits(&row.tasks));
            self.rows.push(row.ok_or(0usize)?);
            return Ok(());
        }
        // The step of a job that was not asked for has no row to go to.
        let job = draft.row.id.split('.').next().unwrap_or_default();
        let Some(row) = self.rows.last_mut().filter(|row| row.id == job) else { return Ok(()) };
        row.mem_used = row.mem_used.max(draft.row.mem_used);
        if let Some(cpu) = draft.row.cpu_time {
            self.steps.cpu = Some(self.steps.cpu.unwrap_or_default().saturating_add(cpu));
        }
        self.steps.killed_by_slurm |= draft.row.raw_state == "CANCELLED by 0" && draft.exit == Some((0, 9));
        Ok(())
    }

    /// Closes the last row: Slurm without cgroups kills a job over its memory with signal 9, and the job is
    /// FAILED 0:9. What tells it from one that killed itself is its step, cancelled by root.
    fn settle(&mut self) {
        let steps = std::mem::take(&mut self.steps);
        let Some(row) = self.rows.last_mut() else { return };
        if row.cpu_time.unwrap_or_default().is_zero() {
            row.cpu_time = steps.cpu.or(row.cpu_time);
        }
        let over = match (row.mem, row.mem_used) {
            (Some(asked), Some(used)) => used > asked,
            _ => true,
        };
        if row.state == JobState::Failed
            && row.cause.is_none()
            && row.status == Some(ExitStatus::Signal(9))
            && steps.killed_by_slurm
            && over
        {
            row.cause = Some(Cause::OutOfMemory);
            row.status = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_ids_are_few_calls_and_an_array_is_one_word() {
        let ids: Vec<RemoteId> = (0..50_000).map(|i| RemoteId(format!("{}", 1_000_000 + i))).collect();
        let calls = query(&ids, "u", Timestamp(0));
        assert_eq!(calls.len(), 4);
        assert!(calls.iter().all(|call| call.command_line().len() < 101_000));
        let elements: Vec<RemoteId> = (0..1_000).map(|i| RemoteId(format!("4711_{i}"))).collect();
        let calls = query(&elements, "u", Timestamp::from_secs(1_795_195_774));
        assert_eq!(calls.len(), 1);
        assert!(calls[0].argv.contains(&"--jobs=4711".into()));
        assert!(calls[0].argv.contains(&"--starttime=2026-11-20T17:29:34".into()));
        let some =
            [RemoteId("9_3".into()), RemoteId("8".into()), RemoteId("9_4".into()), RemoteId("8_1".into())];
        assert!(query(&some, "u", Timestamp(0))[0].argv.contains(&"--jobs=9_3,9_4,8".into()));
        assert!(query(&[], "u", Timestamp(0))[0].argv.contains(&"--user=u".into()));
    }
}
