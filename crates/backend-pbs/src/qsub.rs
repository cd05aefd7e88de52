//! `qsub`: the command line, and the id that it prints.

use std::ffi::OsString;

use cluster_core::dialect::{DialectError, RemoteDependency, SubmitRequest, job_name};
use cluster_core::host::{Invocation, Output};
use cluster_core::{DependencyKind, RemoteId};

use crate::command;
use crate::flavour::Flavour;
use crate::lexeme::Id;

/// The command line that submits a script.
pub(crate) fn submit(flavour: Flavour, request: &SubmitRequest<'_>) -> Result<Invocation, DialectError> {
    let mut argv: Vec<OsString> = vec!["qsub".into()];
    if flavour == Flavour::OpenPbs {
        // Without it a daemon of qsub's stays behind for a minute.
        argv.push("-f".into());
    }
    argv.extend(["-N".into(), job_name(request.name, request.tag).into(), "-j".into(), "oe".into()]);
    argv.extend(["-o".into(), log_argument(flavour, request)?]);
    if let Some(elements) = request.array {
        let option = if flavour == Flavour::OpenPbs { "-J" } else { "-t" };
        argv.extend([option.into(), array(elements, request.throttle)?.into()]);
    }
    if let Some(depend) = depend(flavour, request.dependencies)? {
        argv.extend(["-W".into(), depend.into()]);
    }
    if request.hold {
        argv.push("-h".into());
    }
    argv.extend(["-v".into(), format!("CLUSTER_TAG={}", request.tag).into()]);
    argv.push(request.script.as_os_str().to_owned());
    Ok(command::submission(argv))
}

/// The log as `-o` takes it: OpenPBS puts the element's number in place of `^array_index^`, Torque adds `-3`
/// to the path by itself.
fn log_argument(flavour: Flavour, request: &SubmitRequest<'_>) -> Result<OsString, DialectError> {
    let mut path = request.log.as_os_str().to_owned();
    // OpenPBS takes a path that begins with a slash for a path, colons and all.
    let taken_for_host = flavour == Flavour::Torque || request.log.is_relative();
    if taken_for_host && path.to_string_lossy().contains(':') {
        return Err(cannot(
            format!("the log {}", request.log.display()),
            "qsub takes what stands before a colon for a host; use a root without colons in its path",
        ));
    }
    if flavour == Flavour::OpenPbs && request.array.is_some() {
        path.push(".^array_index^");
    }
    Ok(path)
}

/// `0-9%3`. The range is checked here: OpenPBS refuses arrays of one element, and a falling range was the end
/// of a Torque server.
fn array(elements: u32, throttle: Option<u32>) -> Result<String, DialectError> {
    let last = match elements {
        0 | 1 => {
            return Err(cannot(
                format!("an array of {elements}"),
                "PBS takes arrays of two or more elements",
            ));
        }
        n => n - 1,
    };
    match throttle {
        None => Ok(format!("0-{last}")),
        Some(0) => Err(cannot("a limit of no running elements", "at least one has to run")),
        Some(limit) => Ok(format!("0-{last}%{limit}")),
    }
}

/// `depend=afterok:1.srv:2.srv,afterany:3[].srv`.
fn depend(flavour: Flavour, dependencies: &[RemoteDependency]) -> Result<Option<String>, DialectError> {
    let mut kinds: Vec<(&'static str, Vec<String>)> = Vec::new();
    for dependency in dependencies {
        let (word, id) = match flavour {
            Flavour::OpenPbs => open_pbs_dependency(dependency)?,
            Flavour::Torque => torque_dependency(dependency)?,
        };
        match kinds.iter_mut().find(|(known, _)| *known == word) {
            // Several elements of one array may have become the array.
            Some((_, ids)) if ids.contains(&id) => {}
            Some((_, ids)) => ids.push(id),
            None => kinds.push((word, vec![id])),
        }
    }
    if kinds.is_empty() {
        return Ok(None);
    }
    let parts: Vec<String> = kinds.iter().map(|(word, ids)| format!("{word}:{}", ids.join(":"))).collect();
    Ok(Some(format!("depend={}", parts.join(","))))
}

/// The id, taken apart and checked: nothing else goes into `-W`.
fn id(dependency: &RemoteDependency) -> Result<Id<'_>, DialectError> {
    Id::read(&dependency.id.0).ok_or_else(|| {
        cannot(format!("a dependency on `{}`", dependency.id), "it is no id of PBS (12.server)")
    })
}

/// An element-by-element dependency goes to the whole array, and only where the gate looks at the elements.
fn elementwise(dependency: &RemoteDependency) -> Result<(), DialectError> {
    if dependency.elementwise && !dependency.gated {
        return Err(cannot(
            format!("a dependency element by element on `{}`", dependency.id),
            "PBS has none; depend on the whole array, or on jobs of ours, which the job script checks itself",
        ));
    }
    Ok(())
}

fn open_pbs_dependency(dependency: &RemoteDependency) -> Result<(&'static str, String), DialectError> {
    let id = id(dependency)?;
    elementwise(dependency)?;
    if id.index.is_none() {
        return Ok((dependency.kind.as_str(), dependency.id.0.clone()));
    }
    let element = id.index != Some("");
    if element && (!dependency.gated || dependency.kind == DependencyKind::After) {
        return Err(cannot(
            format!("a dependency on the element `{}`", dependency.id),
            "OpenPBS takes none on elements of arrays; depend on the whole array",
        ));
    }
    // The state of an array is that of its last element: afterok was let through after failures. With the
    // gate, its end is enough.
    let word = match dependency.kind {
        DependencyKind::AfterOk | DependencyKind::AfterNotOk if dependency.gated => "afterany",
        kind => kind.as_str(),
    };
    Ok((word, id.array()))
}

fn torque_dependency(dependency: &RemoteDependency) -> Result<(&'static str, String), DialectError> {
    let id = id(dependency)?;
    elementwise(dependency)?;
    if id.index.is_none_or(|index| !index.is_empty()) {
        // A job; an element is one too.
        return Ok((dependency.kind.as_str(), dependency.id.0.clone()));
    }
    let word = match dependency.kind {
        _ if dependency.elementwise => "afteranyarray",
        DependencyKind::AfterOk | DependencyKind::AfterNotOk | DependencyKind::AfterAny
            if dependency.gated =>
        {
            "afteranyarray"
        }
        DependencyKind::AfterOk => "afterokarray",
        DependencyKind::AfterNotOk => "afternotokarray",
        DependencyKind::AfterAny => "afteranyarray",
        DependencyKind::After => "afterstartarray",
    };
    Ok((word, id.array()))
}

fn cannot(what: impl Into<String>, why: impl Into<String>) -> DialectError {
    DialectError::Cannot { what: what.into(), why: why.into() }
}

/// The id on stdout: one line, `12.server` or `12[].server`. A site's wrapper may print more lines before it.
/// A server of Torque may be told to leave its name out (`display_job_server_suffix`): the number is the last
/// line then.
pub(crate) fn read(flavour: Flavour, output: &Output) -> Result<RemoteId, DialectError> {
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = || text.lines().map(str::trim);
    let named = |line: &&str| Id::read(line).is_some_and(|id| !id.server.is_empty());
    let bare = || lines().rfind(|line| !line.is_empty()).filter(|line| Id::read(line).is_some());
    match lines().rfind(named).or_else(|| bare().filter(|_| flavour == Flavour::Torque)) {
        Some(id) => Ok(RemoteId(id.to_owned())),
        None => {
            Err(DialectError::syntax("qsub", &output.stdout, 0, "an id like `12.server` or `12[].server`"))
        }
    }
}
