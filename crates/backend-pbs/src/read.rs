//! What a command printed, by its command line.

use std::ffi::OsString;

use cluster_core::dialect::{DialectError, Jobs, Reading, RefusalKind, Site};
use cluster_core::host::Output;

use crate::command::Typed;
use crate::entry::Entries;
use crate::flavour::Flavour;
use crate::record::JobEntries;
use crate::refusal::{self, Verdict};
use crate::server::SiteEntries;
use crate::{blocks, qstat_dsv, qstat_json, qstat_text, qstat_xml, qsub};

/// Options of each command that take a value.
fn with_value(flavour: Flavour) -> impl Fn(&str) -> &'static str {
    move |command| match (command, flavour) {
        ("qstat", Flavour::OpenPbs) => "uFD",
        ("qstat", Flavour::Torque) => "uW",
        ("pbsnodes", Flavour::OpenPbs) => "FDsNC",
        ("pbsnodes", Flavour::Torque) => "sN",
        ("qsub", _) => "aAbcCdDeIJklmMNopPqrStuvWwXzKLTFn",
        ("qmgr", _) => "c",
        ("qdel" | "qhold" | "qrls" | "qsig" | "qalter" | "qrerun", _) => "mWtshlN",
        _ => "",
    }
}

/// Reads what `argv` printed.
pub(crate) fn read<'o>(
    flavour: Flavour,
    argv: &[OsString],
    output: &'o Output,
) -> Result<Reading<'o>, DialectError> {
    let typed = Typed::read(argv, with_value(flavour));
    let verdict = refusal::verdict(output);
    match typed.command.as_str() {
        "qstat" => qstat(flavour, &typed, &line(argv), verdict, output),
        "qsub" => {
            // With -W block=true the exit code is the job's; an id without a complaint was accepted.
            let accepted = output.stderr.iter().all(u8::is_ascii_whitespace);
            match (verdict.error("qsub", output), qsub::read(flavour, output)) {
                (None, submitted) => submitted.map(Reading::Submitted),
                (Some(_), Ok(id)) if accepted => Ok(Reading::Submitted(id)),
                (Some(error), _) => Err(error),
            }
        }
        "qdel" if refusal::only_ended(output) => Ok(Reading::Done),
        command @ ("qdel" | "qhold" | "qrls" | "qalter" | "qmove" | "qmsg" | "qsig" | "qrerun" | "qrun") => {
            match verdict.error(command, output) {
                None => Ok(Reading::Done),
                Some(error) => Err(error),
            }
        }
        "pbsnodes" => pbsnodes(flavour, &typed, &line(argv), verdict, output),
        "qmgr" => match verdict.error("qmgr", output) {
            Some(error) => Err(error),
            None => site(flavour, &line(argv), output, Form::Blocks),
        },
        "qselect" => match verdict.error("qselect", output) {
            Some(error) => Err(error),
            None => Err(not_read(argv, format!("it lists ids without states; {}", flavour.readable()))),
        },
        "tracejob" => Err(not_read(argv, format!("it prints log lines for people; {}", flavour.readable()))),
        _ => Err(not_read(argv, "it is no command of PBS that answers a question of ours".to_owned())),
    }
}

fn line(argv: &[OsString]) -> String {
    let words: Vec<_> = argv.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

fn not_read(argv: &[OsString], why: String) -> DialectError {
    DialectError::NotRead { command: line(argv), why }
}

fn qstat<'o>(
    flavour: Flavour,
    typed: &Typed,
    line: &str,
    verdict: Verdict,
    output: &'o Output,
) -> Result<Reading<'o>, DialectError> {
    if refusal::without_history(output) {
        return Err(DialectError::NoAccounting {
            command: line.to_owned(),
            why: "the server keeps no history of ended jobs (job_history_enable)".to_owned(),
        });
    }
    if matches!(verdict, Verdict::Unreachable | Verdict::Killed | Verdict::Refused(_)) {
        return Err(verdict.error("qstat", output).unwrap_or_else(|| other("qstat", output)));
    }
    if typed.long.iter().any(|option| option == "--version") {
        return version(flavour, line, output);
    }
    let full = typed.has('f');
    if typed.has('B') || typed.has('Q') {
        return match typed.form(Form::Text).filter(|_| full) {
            Some(form) => site(flavour, line, output, form),
            None => Err(table(flavour, line)),
        };
    }
    let form = match flavour {
        Flavour::Torque if typed.has('x') => Some(Form::Xml),
        _ => typed.form(Form::Text).filter(|_| full),
    };
    let history = flavour == Flavour::OpenPbs && typed.has('x');
    let mut entries = JobEntries::new(flavour, history, "qstat", &output.stdout);
    match form {
        Some(form) => form.read("qstat", &output.stdout, &mut entries),
        // Nothing was found, in whatever form.
        None if verdict == Verdict::UnknownJobs && output.stdout.is_empty() => {}
        None => return Err(table(flavour, line)),
    }
    jobs(history, verdict, output, entries.finish())
}

/// The jobs, where the question had a good answer. Some that are known and some that are not are no error;
/// that the history knows none of them is an answer too.
fn jobs<'o>(
    history: bool,
    verdict: Verdict,
    output: &Output,
    mut jobs: Jobs<'o>,
) -> Result<Reading<'o>, DialectError> {
    if verdict == Verdict::UnknownJobs && jobs.rows.is_empty() && jobs.errors.is_empty() && !history {
        return Err(DialectError::refused(RefusalKind::UnknownJob, "qstat", output));
    }
    if output.truncated {
        // The last record is cut, and what is missing is not gone.
        jobs.rows.pop();
        jobs.errors.push(DialectError::syntax(
            "qstat",
            &output.stdout,
            output.stdout.len(),
            "the rest of an output that was cut at its cap",
        ));
    }
    Ok(Reading::Jobs(jobs))
}

fn other(command: &str, output: &Output) -> DialectError {
    DialectError::refused(RefusalKind::Other, command, output)
}

fn table(flavour: Flavour, line: &str) -> DialectError {
    DialectError::NotRead {
        command: line.to_owned(),
        why: format!("a table for people, whose columns cut names and ids; {}", flavour.readable()),
    }
}

fn node_table(flavour: Flavour, form: &Form, line: &str) -> DialectError {
    let what = match form {
        Form::Dsv(_) => "the columns of a table for people, with sizes that are rounded",
        _ => "a table for people",
    };
    let readable = match flavour {
        Flavour::OpenPbs => {
            "`pbsnodes -a`, also with `-F json` and `-F dsv`, and `pbsnodes -aSj -F json` are read"
        }
        Flavour::Torque => "`pbsnodes -a` and `pbsnodes -a -x` are read",
    };
    DialectError::NotRead { command: line.to_owned(), why: format!("{what}; {readable}") }
}

/// `pbs_version = 23.06.06` (OpenPBS), `Version: 6.1.3` (Torque).
fn version<'o>(flavour: Flavour, line: &str, output: &Output) -> Result<Reading<'o>, DialectError> {
    let word = match flavour {
        Flavour::OpenPbs => "pbs_version =",
        Flavour::Torque => "Version:",
    };
    let said = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let version = said.iter().flat_map(|text| text.lines()).find_map(|line| line.trim().strip_prefix(word));
    match version.map(str::trim) {
        Some(version) if !version.is_empty() => {
            Ok(Reading::Site(Site { version: Some(version.to_owned()), ..Site::default() }))
        }
        _ => Err(DialectError::NotRead {
            command: line.to_owned(),
            why: format!("no line begins with `{word}`"),
        }),
    }
}

/// How an answer is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Text,
    Json,
    Dsv(String),
    Xml,
    Blocks,
}

impl Form {
    fn read<'o>(&self, command: &str, output: &'o [u8], entries: &mut impl Entries<'o>) {
        match self {
            Self::Text => qstat_text::read(command, output, entries),
            Self::Json => qstat_json::read(command, output, entries),
            Self::Dsv(delimiter) => qstat_dsv::read(command, output, delimiter.as_bytes(), entries),
            Self::Xml => qstat_xml::read(command, output, entries),
            Self::Blocks => blocks::read(command, output, entries),
        }
    }
}

impl Typed {
    /// The form that `-F` asks for; `default` without it.
    fn form(&self, default: Form) -> Option<Form> {
        match self.format.as_deref() {
            None | Some("default") => Some(default),
            Some("json") => Some(Form::Json),
            Some("dsv") => Some(Form::Dsv(self.delimiter.clone().unwrap_or_else(|| "|".to_owned()))),
            Some(_) => None,
        }
    }
}

fn site<'o>(
    flavour: Flavour,
    line: &str,
    output: &'o Output,
    form: Form,
) -> Result<Reading<'o>, DialectError> {
    let mut entries = SiteEntries::new(flavour);
    form.read(line, &output.stdout, &mut entries);
    if entries.is_foreign() {
        return Err(DialectError::NotRead {
            command: line.to_owned(),
            why: format!("its server is not of the family of `{}`", flavour.kind()),
        });
    }
    entries.finish().map(Reading::Site)
}

fn pbsnodes<'o>(
    flavour: Flavour,
    typed: &Typed,
    line: &str,
    verdict: Verdict,
    output: &'o Output,
) -> Result<Reading<'o>, DialectError> {
    if let Some(error) = verdict.error("pbsnodes", output) {
        return Err(error);
    }
    if flavour == Flavour::Torque && typed.has('x') {
        return site(flavour, line, output, Form::Xml);
    }
    // -l, -S, -L: tables, and with -F the table's columns: those of JSON have names.
    let columns = ['S', 'L', 'j'].into_iter().any(|letter| typed.has(letter));
    match typed.form(Form::Blocks) {
        Some(form) if columns && form != Form::Json => Err(node_table(flavour, &form, line)),
        Some(form) if typed.has('l') => Err(node_table(flavour, &form, line)),
        Some(form) => site(flavour, line, output, form),
        None => Err(node_table(flavour, &Form::Text, line)),
    }
}
