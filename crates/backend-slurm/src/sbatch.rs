//! sbatch: submission.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use cluster_core::dialect::{
    DialectError, Reading, RefusalKind, RemoteDependency, Site, SubmitRequest, job_name,
};
use cluster_core::host::{Invocation, Output};
use cluster_core::{DependencyKind, RemoteId};

use crate::command_line::{CommandLine, Known};
use crate::{environment, job_id, refusal};

/// The options that change what is printed, and those whose value could be taken for another option.
const OPTIONS: &[Known] = &[
    (b'a', "array", true),
    (0, "parsable", false),
    (b'Q', "quiet", false),
    (0, "test-only", false),
    (b'V', "version", false),
    (b'v', "verbose", false),
    (b'W', "wait", false),
    (0, "wrap", true),
    (b'H', "hold", false),
    (b'J', "job-name", true),
    (b'o', "output", true),
    (b'e', "error", true),
    (b'i', "input", true),
    (b'p', "partition", true),
    (b'A', "account", true),
    (b'q', "qos", true),
    (b'd', "dependency", true),
    (b'D', "chdir", true),
    (b'M', "clusters", true),
    (b'n', "ntasks", true),
    (b'N', "nodes", true),
    (b'c', "cpus-per-task", true),
    (b't', "time", true),
    (b'w', "nodelist", true),
    (b'x', "exclude", true),
    (b'L', "licenses", true),
    (b'C', "constraint", true),
    (b'G', "gpus", true),
    (0, "mem", true),
    (0, "gres", true),
    (0, "export", true),
    (0, "comment", true),
    (0, "begin", true),
    (0, "reservation", true),
    (0, "kill-on-invalid-dep", true),
];

/// The long name of an option of one letter.
pub(crate) fn long_name(short: &str) -> Option<&'static str> {
    let letter = short.bytes().next()?;
    OPTIONS.iter().find(|(known, ..)| *known == letter).map(|(_, long, _)| *long)
}

/// The command line of a submission. Every option is one word, `--option=value`: no value can be taken for
/// an option, and none is split.
pub(crate) fn submit(request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
    let tag = request.tag.as_str();
    let mut argv: Vec<OsString> = vec!["sbatch".into(), "--parsable".into()];
    argv.push(format!("--job-name={}", job_name(request.name, request.tag)).into());
    argv.push(format!("--comment={tag}").into());
    // Nothing of the submitter's environment but the tag and what sbatch itself needs, since that is all it
    // gets: job.sh restores the rest.
    argv.push("--export=ALL".into());
    argv.push(output_option(request.log));
    // All elements of an array, and all runs of a job, write to the one file.
    argv.push("--open-mode=append".into());
    if let Some(n) = request.array {
        let last = n.checked_sub(1).ok_or_else(|| DialectError::Cannot {
            what: "an array of 0 elements".to_owned(),
            why: "an array has at least one element".to_owned(),
        })?;
        let throttle =
            request.throttle.filter(|limit| *limit > 0).map_or(String::new(), |limit| format!("%{limit}"));
        argv.push(format!("--array=0-{last}{throttle}").into());
    }
    if !request.dependencies.is_empty() {
        argv.push(format!("--dependency={}", dependencies(request.dependencies)?).into());
        // Else a job that can never start stays in the queue for ever.
        argv.push("--kill-on-invalid-dep=yes".into());
    }
    if request.hold {
        argv.push("--hold".into());
    }
    argv.push(plain_path(request.script));
    let mut invocation = environment::submitting(Invocation::new(argv), request.head);
    invocation.env.push(("CLUSTER_TAG".into(), Some(tag.into())));
    Ok(invocation)
}

/// `--output=`, with the percent signs of the path doubled: sbatch expands `%j` and the like.
fn output_option(log: &Path) -> OsString {
    let mut word = b"--output=".to_vec();
    for &byte in log.as_os_str().as_bytes() {
        word.extend_from_slice(if byte == b'%' { b"%%" } else { std::slice::from_ref(&byte) });
    }
    OsString::from_vec(word)
}

/// The script as a word that is no option.
fn plain_path(script: &Path) -> OsString {
    if script.as_os_str().as_bytes().starts_with(b"-") {
        let mut word = OsString::from("./");
        word.push(script);
        return word;
    }
    script.as_os_str().to_owned()
}

/// `afterok:1,aftercorr:2`. All of them have to be met: they are joined by commas.
fn dependencies(list: &[RemoteDependency]) -> Result<String, DialectError> {
    let mut words = Vec::with_capacity(list.len());
    for on in list {
        if job_id::job_id(on.id.0.as_bytes()).is_none_or(|id| id.step.is_some()) {
            return Err(DialectError::Cannot {
                what: format!("a dependency on `{}`", on.id),
                why: "that is no id of a Slurm job; one is 4711 or 4711_3".to_owned(),
            });
        }
        let kind = match (on.elementwise, on.kind) {
            (false, kind) => kind.as_str(),
            (true, DependencyKind::AfterOk) => "aftercorr",
            (true, kind) => {
                return Err(DialectError::Cannot {
                    what: format!("{} element by element", kind.as_str()),
                    why: "Slurm has only aftercorr, which is afterok; wait for the whole array instead"
                        .to_owned(),
                });
            }
        };
        words.push(format!("{kind}:{}", on.id));
    }
    Ok(words.join(","))
}

/// Reads what sbatch printed.
pub(crate) fn read<'o>(argv: &[OsString], output: &'o Output) -> Result<Reading<'o>, DialectError> {
    let line = CommandLine::read(argv, OPTIONS);
    let submitted = output.stdout.split(|&b| b == b'\n').filter_map(|line| id(line.trim_ascii())).next_back();
    // With --wait the exit code is the job's.
    if let (true, Some(id)) = (line.has("wait"), &submitted) {
        return Ok(Reading::Submitted(id.clone()));
    }
    refusal::check("sbatch", output).map_err(|error| array_limit(error, &line))?;
    if line.has("version") {
        return Ok(Reading::Site(version(&output.stdout)));
    }
    match submitted {
        Some(id) => Ok(Reading::Submitted(id)),
        None if line.has("quiet") || line.has("test-only") => Ok(Reading::Done),
        None => Err(DialectError::syntax("sbatch", &output.stdout, 0, "the id of the submitted job")),
    }
}

/// Slurm says the same of an array that is no range and of one that is too large; ours are ranges.
fn array_limit(mut error: DialectError, line: &CommandLine<'_>) -> DialectError {
    if let DialectError::Refused { kind, stderr, .. } = &mut error
        && stderr.contains("Invalid job array specification")
        && line.value("array").is_some_and(|list| job_id::task_list(list).is_some())
    {
        *kind = RefusalKind::OverLimit;
    }
    error
}

/// `4711`, `4711;cluster`, `Submitted batch job 4711`, `Submitted batch job 4711 on cluster NAME`.
fn id(line: &[u8]) -> Option<RemoteId> {
    let line = std::str::from_utf8(line).ok()?;
    let digits = match line.strip_prefix("Submitted batch job ") {
        Some(rest) => rest.split_once(" on cluster ").map_or(rest, |(id, _)| id),
        None => line.split_once(';').map_or(line, |(id, _)| id),
    };
    crate::lexeme::number(digits.as_bytes()).filter(|n| *n > 0)?;
    Some(RemoteId(digits.to_owned()))
}

/// `slurm-wlm 22.05.8`, `slurm 23.11.4`.
pub(crate) fn version(stdout: &[u8]) -> Site {
    let line = stdout.split(|&b| b == b'\n').next().unwrap_or_default();
    let version = String::from_utf8_lossy(line).split_whitespace().nth(1).map(str::to_owned);
    Site { version, ..Site::default() }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use cluster_core::{Resources, Tag};

    use super::*;

    fn request<'a>(
        resources: &'a Resources,
        tag: &'a Tag,
        dependencies: &'a [RemoteDependency],
    ) -> SubmitRequest<'a> {
        SubmitRequest {
            script: Path::new("/r/jobs/1/job.0.sh"),
            name: "two words",
            tag,
            log: Path::new("/r/100%j/0.sched"),
            array: None,
            throttle: None,
            dependencies,
            hold: false,
            resources,
            head: &[],
        }
    }

    fn on(id: &str, kind: DependencyKind, elementwise: bool) -> RemoteDependency {
        RemoteDependency { kind, id: RemoteId(id.to_owned()), array: elementwise, elementwise, gated: true }
    }

    #[test]
    fn every_option_is_one_word_and_the_script_comes_last() {
        let (resources, tag) = (Resources::default(), Tag::from_bits(0));
        let on = [on("12", DependencyKind::AfterOk, true), on("13_4", DependencyKind::AfterAny, false)];
        let mut request = request(&resources, &tag, &on);
        (request.array, request.throttle, request.hold) = (Some(50), Some(4), true);
        let call = submit(&request).unwrap();
        let words: Vec<_> = call.argv.iter().map(|word| word.to_str().unwrap()).collect();
        assert_eq!(
            words,
            [
                "sbatch",
                "--parsable",
                "--job-name=two_words.caaaaaaaaaa",
                "--comment=caaaaaaaaaa",
                "--export=ALL",
                "--output=/r/100%%j/0.sched",
                "--open-mode=append",
                "--array=0-49%4",
                "--dependency=aftercorr:12,afterany:13_4",
                "--kill-on-invalid-dep=yes",
                "--hold",
                "/r/jobs/1/job.0.sh",
            ]
        );
        let tag = |(name, value): &(OsString, Option<OsString>)| {
            name == "CLUSTER_TAG" && *value == Some("caaaaaaaaaa".into())
        };
        assert!(call.env.iter().any(tag));
        request.script = Path::new("-x.sh");
        assert_eq!(submit(&request).unwrap().argv.last().unwrap(), OsStr::new("./-x.sh"));
    }

    #[test]
    fn what_slurm_cannot_wait_for_is_refused_before_it_sees_it() {
        let (resources, tag) = (Resources::default(), Tag::from_bits(0));
        for wrong in [
            on("12", DependencyKind::AfterAny, true),
            on("12,13", DependencyKind::AfterOk, false),
            on("", DependencyKind::AfterOk, false),
        ] {
            let list = [wrong];
            let error = submit(&request(&resources, &tag, &list)).unwrap_err();
            assert!(matches!(error, DialectError::Cannot { .. }), "{error}");
        }
        let mut empty = request(&resources, &tag, &[]);
        empty.array = Some(0);
        assert!(matches!(submit(&empty), Err(DialectError::Cannot { .. })));
    }

    #[test]
    fn ids_are_read_exactly() {
        for (line, want) in [
            ("4711", Some("4711")),
            ("6;testhpc", Some("6")),
            ("Submitted batch job 12", Some("12")),
            ("Submitted batch job 12 on cluster a", Some("12")),
            ("Submitted batch job", None),
            ("0", None),
            ("job 12", None),
            ("12 ", None),
        ] {
            assert_eq!(id(line.as_bytes()), want.map(|id| RemoteId(id.to_owned())), "{line}");
        }
    }
}
