//! `qacct`: the accounting file, one block a task, and one more for each time that it ran before.

use std::borrow::Cow;
use std::collections::HashMap;

use cluster_core::dialect::{DialectError, Jobs, Reading, Row, Tasks};
use cluster_core::host::{Invocation, Output};
use cluster_core::{MemSize, RemoteId, Timestamp};

use crate::call::{self, Call};
use crate::end::{Record, end};
use crate::{lexeme, owned, refusal};

/// How far a host's clock may be behind that of the submit host.
const CLOCKS: i64 = 600;

/// One job: `-j ID`. More, or all: those of the user since then, because `-j` takes one id only and every call
/// reads the whole file. Jobs that never started have no start and are left out by `-b`; they are no ends.
pub(crate) fn invocations(ids: &[RemoteId], user: &str, since: Timestamp) -> Vec<Invocation> {
    let number = |id: &RemoteId| id.0.split('.').next().filter(|_| lexeme::is_id(&id.0)).map(str::to_owned);
    let mut jobs: Vec<String> = ids.iter().filter_map(number).collect();
    jobs.sort_unstable();
    jobs.dedup();
    match jobs.as_slice() {
        // None of these can be a job of Grid Engine's.
        [] if !ids.is_empty() => Vec::new(),
        [job] => vec![call::invocation(["qacct", "-j", job])],
        _ => {
            let begin = lexeme::begin(since.0.div_euclid(1_000_000).saturating_sub(CLOCKS));
            vec![call::invocation(["qacct", "-o", user, "-b", &begin, "-j"])]
        }
    }
}

pub(crate) fn read<'o>(
    call: &Call<'_>,
    output: &'o Output,
    mem: Option<&str>,
) -> Result<Reading<'o>, DialectError> {
    if !output.status.is_success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        // An id or a name that is not there is an answer: it still runs, never ran, or never was.
        let unknown = stderr.starts_with("error: job ") && stderr.trim_end().ends_with("not found");
        if unknown || stderr.contains("no jobs running since startup") {
            return Ok(Reading::Jobs(Jobs::default()));
        }
        return Err(refusal::refused(call, output));
    }
    if !call.has("-j") {
        return Err(call.not_read("it is a sum over jobs; `qacct -j` shows the jobs"));
    }
    owned::read(&output.stdout, |text| Ok(blocks(call, text, mem))).map(Reading::Jobs)
}

/// The blocks of a text, the last one of each task. They stand between lines of equals signs; `qacct -j`
/// without an id ends with a table of sums.
fn blocks<'t>(call: &Call<'_>, text: &'t str, mem: Option<&str>) -> Jobs<'t> {
    let mut jobs = Jobs::default();
    let mut places: HashMap<(&'t str, Option<u32>), usize> = HashMap::new();
    let mut lines = Lines { text, at: 0 }.peekable();
    while let Some((at, line)) = lines.next() {
        if is_rule(line) {
            let mut block = Block { begin: at, end: at, fields: Vec::with_capacity(48) };
            while let Some(&(at, line)) = lines.peek() {
                if is_rule(line) || is_sum(line) {
                    break;
                }
                lines.next();
                block.end = at + line.len();
                let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, ""));
                block.fields.push((key, value.trim()));
            }
            match block.row(text, mem) {
                Ok(row) => place(&mut jobs, &mut places, row),
                Err((at, expected)) => jobs.error(|| call.syntax(text.as_bytes(), at, expected)),
            }
        } else if is_sum(line) {
            // The sums are to the end of the text.
            break;
        } else if !line.trim().is_empty() {
            jobs.error(|| call.syntax(text.as_bytes(), at, "a line of equals signs before a record"));
            while lines.next_if(|(_, line)| !is_rule(line) && !is_sum(line)).is_some() {}
        }
    }
    jobs
}

fn is_rule(line: &str) -> bool {
    line.len() > 20 && line.bytes().all(|b| b == b'=')
}

/// The head of a table of sums.
fn is_sum(line: &str) -> bool {
    line.starts_with("Total System Usage") || (line.contains(" WALLCLOCK ") && line.contains(" UTIME "))
}

/// Puts a row in the place of an earlier one of the same task, and counts.
fn place<'t>(jobs: &mut Jobs<'t>, places: &mut HashMap<(&'t str, Option<u32>), usize>, mut row: Row<'t>) {
    let Cow::Borrowed(job) = row.job else { return };
    let task = if let Tasks::One(task) = row.tasks { Some(task) } else { None };
    let next = jobs.rows.len();
    let at = *places.entry((job, task)).or_insert(next);
    match jobs.rows.get_mut(at) {
        Some(before) => {
            // Numbers start again after 9,999,999: another's job of the same number is no earlier run.
            let same = before.user == row.user && before.name == row.name;
            row.restarts = Some(if same { before.restarts.unwrap_or(0).saturating_add(1) } else { 0 });
            *before = row;
        }
        None => {
            row.restarts = Some(0);
            jobs.rows.push(row);
        }
    }
}

/// The lines of a text with their offsets.
struct Lines<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Lines<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        let line = rest.split('\n').next().unwrap_or(rest);
        let at = self.at;
        self.at += line.len() + 1;
        Some((at, line))
    }
}

struct Block<'t> {
    begin: usize,
    end: usize,
    fields: Vec<(&'t str, &'t str)>,
}

impl<'t> Block<'t> {
    fn get(&self, key: &str) -> &'t str {
        self.fields.iter().find(|(name, _)| *name == key).map_or("", |(_, value)| *value)
    }

    /// The number at the beginning of a value: `137                  (Killed)`.
    fn code(&self, key: &str) -> Option<i32> {
        self.get(key).split([' ', '\t']).next()?.parse().ok()
    }

    fn row(&self, text: &'t str, mem: Option<&str>) -> Result<Row<'t>, (usize, &'static str)> {
        let job = self.get("jobnumber");
        if lexeme::number::<u64>(job).is_none() {
            return Err((self.begin, "a record with a jobnumber"));
        }
        let (Some(failed), Some(exit_status)) = (self.code("failed"), self.code("exit_status")) else {
            return Err((self.begin, "a record with failed and exit_status, both numbers"));
        };
        let (id, tasks) = match self.get("taskid") {
            "undefined" | "" => (Cow::Borrowed(job), Tasks::Single),
            task => {
                let task = lexeme::number(task).ok_or((self.begin, "a taskid: a number or `undefined`"))?;
                (Cow::Owned(format!("{job}.{task}")), Tasks::One(task))
            }
        };
        let slots = lexeme::number::<u32>(self.get("slots"));
        let category = Category { words: self.get("category") };
        let time = |resource| category.resource(resource).and_then(lexeme::limit);
        let per_slot =
            |size: MemSize| MemSize::from_mb(size.as_mb().saturating_mul(slots.unwrap_or(1).into()));
        let memory = mem.and_then(|mem| category.resource(mem)).and_then(lexeme::mem).map(per_slot);
        let max_memory = lexeme::mem(self.get("maxvmem")).filter(|size| size.as_mb() > 0);
        let record = Record {
            failed,
            failed_text: self.get("failed"),
            exit_status,
            used_anything: self.used_anything(),
            wallclock: lexeme::used(self.get("ru_wallclock")),
            cpu: lexeme::used(self.get("cpu")),
            max_memory,
            hard_time: time("h_rt"),
            soft_time: time("s_rt"),
            hard_cpu: time("h_cpu"),
            soft_cpu: time("s_cpu"),
            memory,
        };
        let end = end(&record);
        Ok(Row {
            id,
            job: Cow::Borrowed(job),
            tasks,
            name: Cow::Borrowed(self.get("jobname")),
            user: Cow::Borrowed(self.get("owner")),
            partition: Cow::Borrowed(self.get("qname")),
            state: end.state,
            // 0 is no word about the job; any other comes with its meaning.
            raw_state: Cow::Borrowed(if failed == 0 { "" } else { record.failed_text }),
            uncertain: end.uncertain,
            reason: Cow::Borrowed(end.reason),
            hosts: Cow::Borrowed(self.get("hostname")),
            cores: slots,
            status: end.status,
            cause: end.cause,
            submitted: lexeme::time(self.get("qsub_time")),
            started: lexeme::time(self.get("start_time")),
            ended: if end.state.is_end() { lexeme::time(self.get("end_time")) } else { None },
            time_limit: record.hard_time,
            mem: record.memory,
            mem_used: max_memory,
            cpu_time: record.cpu,
            text: text.get(self.begin..self.end).unwrap_or_default(),
            ..Row::default()
        })
    }

    /// Whether the record holds any use. A process that ran has touched some pages at least.
    fn used_anything(&self) -> bool {
        const USE: &[&str] = &[
            "ru_wallclock",
            "ru_utime",
            "ru_stime",
            "ru_maxrss",
            "ru_minflt",
            "ru_majflt",
            "ru_nvcsw",
            "ru_nivcsw",
            "cpu",
            "maxvmem",
        ];
        USE.iter().any(|key| self.get(key).contains(|c: char| matches!(c, '1'..='9')))
    }
}

/// What the job asked for: `-l h_rt=5,h_vmem=200M -pe smp 2`.
#[derive(Clone, Copy)]
struct Category<'t> {
    words: &'t str,
}

impl<'t> Category<'t> {
    fn resource(self, name: &str) -> Option<&'t str> {
        let mut words = self.words.split_ascii_whitespace();
        while let Some(word) = words.next() {
            if word == "-l" {
                let list = words.next()?.split(',').filter_map(|pair| pair.split_once('='));
                if let Some((_, value)) = list.into_iter().find(|(key, _)| *key == name) {
                    return Some(value);
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_however_many_jobs() {
        let lines = |ids: &[&str]| {
            let ids: Vec<_> = ids.iter().map(|id| RemoteId((*id).to_owned())).collect();
            let since = Timestamp::from_secs(1_795_196_162);
            invocations(&ids, "ann", since).iter().map(Invocation::command_line).collect::<Vec<_>>()
        };
        assert_eq!(lines(&["88.3", "88.4", "88"]), ["qacct -j 88"]);
        assert_eq!(lines(&["88", "89"]), ["qacct -o ann -b 202611201726.02 -j"]);
        assert_eq!(lines(&[]), ["qacct -o ann -b 202611201726.02 -j"]);
        assert!(lines(&["*"]).is_empty());
    }

    #[test]
    fn resources_of_the_category() {
        let category = Category { words: "-u ann -l h_rt=5,h_vmem=200M -q long.q -pe smp 2" };
        assert_eq!(category.resource("h_rt"), Some("5"));
        assert_eq!(category.resource("h_vmem"), Some("200M"));
        assert_eq!(category.resource("smp"), None);
        assert_eq!(Category { words: "NONE" }.resource("h_rt"), None);
    }
}
