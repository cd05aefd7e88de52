//! `cluster map`: one job for each input.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use cluster_client::inputs::InputReader;
use cluster_core::template::{ambiguous_placeholder, has_number, shell_text, unknown_placeholder};
use cluster_core::{ByteString, Command};
use cluster_localqueue::launch::Processes;
use cluster_options::nearest;

use crate::commands::attach::{self, Printing};
use crate::commands::hand_over::{hand_over, stage as stage_of};
use crate::commands::submit;
use crate::context::Context;
use crate::exit::{Exit, usage};
use crate::output::talk;
use crate::signals::{Reading, Signals};
use crate::sources::{SourceArgs, split_lists};
use crate::spec_args::SpecArgs;
use crate::what_args::{after_dashes, unknown_option};

/// The options of `map`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Placeholders: {} the input, {.} without its extension, {/} its base name, {//} its directory, \
    {/.} both, {#} the job's number from 1, {1} {2.} columns by number, {name} by name. Without one the input is the \
    last word. Columns are counted over the sources in their order on the command line, each with as \
    many as it has.\n\nExamples:\n  cluster map -- gzip -k ::: *.txt\n  cluster map --glob 'src/**/*.rs' -- wc -l\n  \
    cluster map --range 1-100 -- ./simulate --seed {}\n  cluster map --csv samples.csv --sh 'align {read1} > {sample}.bam'"
)]
pub(crate) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    sources: SourceArgs,
    /// Return at once with the id
    #[arg(long, short = 'd', conflicts_with = "foreground")]
    detach: bool,
    /// Run them inside this process, without the runner: they end with us
    #[arg(long)]
    foreground: bool,
    /// Print outputs as the jobs end, not in the order of the inputs
    #[arg(long)]
    unordered: bool,
    /// Text for `sh -c`; placeholders in it become quoted parameters
    #[arg(long, value_name = "TEXT")]
    sh: Option<OsString>,
    /// -- and a command, then perhaps ::: and inputs
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "-- COMMAND [::: INPUT...]")]
    words: Vec<OsString>,
}

pub(crate) fn run(mut context: Context, args: Args) -> anyhow::Result<Exit> {
    let Args { spec, sources, detach, foreground, unordered, sh, words } = args;
    if sh.is_none() && !words.is_empty() && !after_dashes(words.len()) {
        return Err(no_command(&words));
    }
    let words = split_lists(words);
    let first = match (&sh, words.command.first()) {
        (None, None) => return Err(usage("there is no command: give one after -- or by --sh")),
        (Some(_), None) => OsString::from("sh"),
        (_, Some(first)) => first.clone(),
    };
    let dry_run = spec.is_dry_run();
    if !dry_run {
        submit::first_time(&context);
    }
    if foreground {
        context.go_foreground(Box::new(Processes))?;
    }
    let target = spec.target(&mut context)?;
    let signals = if detach { None } else { Some(Signals::watch()?) };
    let reading = Reading::start(detach)?;
    let mut stage = reading.stage(|| stage_of(&context, dry_run))?;
    let mut plan = sources.plan(&mut stage, &words, &context.cwd)?;
    drop(reading);
    let columns = InputReader::columns(&plan);
    let numbered = words.command.iter().chain(&sh).any(|text| has_number(text.as_bytes(), &columns));
    for text in words.command.iter().chain(&sh) {
        refuse_unknown(text, &columns, numbered)?;
        refuse_ambiguous(text, &columns)?;
    }
    let count = plan.jobs().ok_or_else(|| usage("that would be more than four billion jobs"))?;
    if count == 0 {
        return Err(usage("there are no inputs, so there is nothing to do"));
    }
    if count > context.config.limits.max_jobs_per_batch {
        return Err(usage(format!(
            "that would be {count} jobs, and limits.max_jobs_per_batch is {}: raise it, or give more inputs to each \
             job by --per-job",
            context.config.limits.max_jobs_per_batch
        )));
    }
    // The text is the shell's: what looks like a placeholder in it is one no more.
    plan.literal = if sh.is_some() { 4 } else { 0 };
    let argv = match sh {
        None => words.command.into_iter().map(ByteString::from).collect(),
        Some(text) => shell_words(text, words.command, &columns, plan.per_job, plan.append)?,
    };
    let mut job = spec.spec(&mut context, &target, &stage, Command::Argv(argv), &first, true)?;
    job.count = count;
    job.inputs = Some(plan);
    context.keep_for(&job)?;
    let options = spec.options(&context)?;
    let Some(handed) = hand_over(&mut context, &target, stage, job, &options, spec.how())? else {
        return Ok(Exit::GOOD);
    };
    let Some(signals) = signals else {
        return submit::told(&context, handed, count);
    };
    let batch = handed.batch;
    if let Some((exit, text)) = handed.trouble {
        talk(&format!("cluster: {text}"));
        if handed.over {
            return Ok(exit);
        }
    }
    let printing = match (context.common.quiet, unordered) {
        (true, _) => Printing::Nothing,
        (false, true) => Printing::AsTheyEnd,
        (false, false) => Printing::InOrder,
    };
    attach::follow(&mut context, batch, printing, &signals)
}

/// What stands where only options and `--` may: a word of the command, or an option that there is not.
fn no_command(words: &[OsString]) -> anyhow::Error {
    let first = words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    if first.starts_with(":::") {
        return usage(format!("{first} and its inputs come after the command: -- COMMAND {first} INPUT..."));
    }
    if first.starts_with('-') && first.len() > 1 {
        return unknown_option(&words[0]);
    }
    let line = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    usage(format!("write -- before the command: -- {line}"))
}

/// A placeholder that is none would be taken for text, and the input put behind it.
fn refuse_unknown(text: &OsStr, columns: &[String], numbered: bool) -> anyhow::Result<()> {
    let Some(unknown) = unknown_placeholder(text.as_bytes(), columns, numbered) else { return Ok(()) };
    let name = unknown.trim_matches(['{', '}', '.', '/']);
    let named: Vec<&str> = columns.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let near = nearest(name, named.iter().copied());
    let instead = match (near.first(), columns.len()) {
        (Some(near), _) => format!("did you mean {{{near}}}?"),
        (None, 1) => "there is one column, {1}".to_owned(),
        (None, count) if named.is_empty() => format!("there are {count} columns, {{1}} to {{{count}}}"),
        (None, _) => format!("there are the columns {}", named.join(", ")),
    };
    let stays = match name.bytes().all(|byte| byte.is_ascii_digit()) {
        true => "to repeat something in a regular expression, write (x){3} or [x]{3}; other text",
        false => "text",
    };
    Err(usage(format!(
        "{unknown} is no placeholder here: {instead} ({stays} that is to stay as it is can be kept in a script)"
    )))
}

/// A name that several columns have says nothing of which is meant.
fn refuse_ambiguous(text: &OsStr, columns: &[String]) -> anyhow::Result<()> {
    let Some((name, numbers)) = ambiguous_placeholder(text.as_bytes(), columns) else { return Ok(()) };
    let numbers: Vec<_> = numbers.iter().map(|number| format!("{{{number}}}")).collect();
    Err(usage(format!("{name} is the name of several columns: say {}", numbers.join(" or "))))
}

/// The text's placeholders become positional parameters, which the shell expands quoted.
fn shell_words(
    text: OsString,
    more: Vec<OsString>,
    columns: &[String],
    per_job: u32,
    append: bool,
) -> anyhow::Result<Vec<ByteString>> {
    if !more.is_empty() {
        return Err(usage("--sh takes the whole command; after it come ::: and inputs only"));
    }
    let text = ByteString::from(text);
    let shelled = shell_text(&text.0, columns, per_job > 1);
    let (mut text, mut parameters) = shelled.map_err(|error| usage(format!("--sh: {error}")))?;
    if parameters.is_empty() {
        if append && !has_parameters(&text) {
            text.extend_from_slice(br#" "$@""#);
        }
        parameters.push("{}".to_owned());
    }
    let head = ["sh".into(), "-c".into(), ByteString(text), "sh".into()];
    Ok(head.into_iter().chain(parameters.into_iter().map(ByteString::from)).collect())
}

/// Whether the shell finds positional parameters in the text: `$1`, `${1…}`, `$@`, `$*`, `$#`, and not where
/// quotes keep them from it (`awk '{ print $1 }'`).
fn has_parameters(text: &[u8]) -> bool {
    let mut quote = 0u8;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (quote, byte) {
            (0, b'\'' | b'"') => quote = byte,
            (b'\'', b'\'') | (b'"', b'"') => quote = 0,
            (0 | b'"', b'\\') => rest = rest.get(1..).unwrap_or_default(),
            (0 | b'"', b'$') => {
                let (braced, name) = match rest.strip_prefix(b"{") {
                    // `${#x}` is the length of x, `${#}` how many parameters there are.
                    Some(name) => (
                        true,
                        name.strip_prefix(b"#").filter(|name| name.first() != Some(&b'}')).unwrap_or(name),
                    ),
                    None => (false, rest),
                };
                match name {
                    [b'1'..=b'9' | b'@' | b'*', ..] => return true,
                    [b'#', ..] if !braced => return true,
                    [b'#', b'}', ..] => return true,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str, append: bool) -> Vec<String> {
        let words = shell_words(text.into(), Vec::new(), &[String::new()], 1, append).unwrap();
        words.iter().map(|word| word.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_input_is_appended_where_the_text_does_not_name_it() {
        for text in ["wc -l", "awk '{ print $1 }'", r"echo \$1", "echo $0 $$ $x ${x} ${#x} $?", "it's $1 '"] {
            assert_eq!(words(text, true), ["sh", "-c", &format!(r#"{text} "$@""#), "sh", "{}"], "{text}");
            assert_eq!(words(text, false), ["sh", "-c", text, "sh", "{}"], "{text}");
        }
    }

    #[test]
    fn a_text_with_parameters_stays_as_it_is() {
        for text in [
            "if [ $1 = 50 ]; then exit 1; fi",
            "echo \"'$1'\"",
            "echo ${1%.gz}",
            "echo ${12}",
            "for x in \"$@\"; do :; done",
            "echo $*",
            "echo $#",
            "echo ${#}",
            "echo ${#1}",
            "echo ${@}",
            "echo '$' $2",
            "echo \\\\$1",
        ] {
            assert_eq!(words(text, true), ["sh", "-c", text, "sh", "{}"], "{text}");
        }
        assert_eq!(words("echo {.} $1", true), ["sh", "-c", r#"echo "${1}" $1"#, "sh", "{.}"]);
    }
}
