//! The command line as it is run.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use cluster_core::dialect::DialectError;
use cluster_core::host::{HostError, Invocation, Output};
use cluster_core::shell;

use super::System;
use super::error::SystemError;

/// The shell prints this on both streams when `pre_submit` is done, right before it becomes the command.
const MARK: &str = "cluster: pre_submit is done\n";

impl System {
    /// The program for the plain name of a command: what `commands` says, else it in `bin`, else the name.
    pub(crate) fn program(&self, command: &str) -> PathBuf {
        match (self.config.commands.get(command), &self.config.bin) {
            (Some(path), _) => path.clone(),
            (None, Some(bin)) => bin.join(command),
            (None, None) => PathBuf::from(command),
        }
    }

    /// The command line with the site's path, time limit and variables. Whatever the locale of the user,
    /// output is in UTF-8 and English, and times are UTC.
    pub(crate) fn prepared(&self, invocation: &Invocation) -> Invocation {
        let mut prepared = invocation.clone();
        if let Some(word) = prepared.argv.first_mut()
            && self.dialect.commands().iter().any(|command| word == command)
        {
            *word = self.program(&word.to_string_lossy()).into_os_string();
        }
        if let Some(timeout) = self.config.timeout {
            prepared.timeout = timeout;
        }
        let fixed = [("LC_ALL", "C.UTF-8"), ("TZ", "UTC")];
        let fixed = fixed.map(|(name, value)| (name.into(), Some(value.into())));
        let own = self.own.iter().map(|(name, value)| (name.clone(), Some(value.clone())));
        prepared.env.splice(..0, own.chain(fixed));
        prepared
    }

    /// Runs a command that submits: without the variables that describe an enclosing job, and after the
    /// commands of `pre_submit` in the same shell. What those print is cut off.
    ///
    /// # Errors
    /// As [`run`](Self::run) has; and where `pre_submit` failed: nothing was sent then.
    pub fn submit(&self, invocation: &Invocation) -> Result<Output, SystemError> {
        let mut prepared = self.prepared(invocation);
        let command = prepared.command_line();
        prepared.env.splice(..0, self.enclosing().map(|name| (name.clone(), None)));
        if self.config.pre_submit.is_empty() {
            prepared.env.splice(..0, self.kept_back().map(|name| (name.clone(), None)));
            return self.host.run(&prepared).map_err(|error| self.host_error(command, error));
        }
        prepared.argv = ["sh", "-c"].map(OsString::from).into();
        // What is kept from the submit command is there for `pre_submit`.
        let mut words: Vec<OsString> = Vec::new();
        let set = |name: &OsString| prepared.env.iter().any(|(ours, value)| ours == name && value.is_some());
        for name in self.kept_back().filter(|name| !set(name)) {
            words.extend(["-u".into(), name.clone()]);
        }
        if !words.is_empty() {
            words.insert(0, "env".into());
        }
        words.extend(self.prepared(invocation).argv);
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        prepared.argv.push(self.pre_submit_script(&words));
        let mut output = match self.host.run(&prepared) {
            Ok(output) => output,
            // Killed before the mark: the command that submits never began. The tail of stderr is short; what
            // may have been pushed out of it counts as printed.
            Err(HostError::Timeout { stderr, timeout, .. })
                if !stderr.contains(MARK.trim_end()) && stderr.len() < 1_900 =>
            {
                let output = format!("{stderr}\nno end in {} s", timeout.as_secs_f64());
                return Err(self.pre_submit_failed(137, output));
            }
            Err(error) => return Err(self.host_error(command, error)),
        };
        let code = output.status.code();
        let (began, _) = (cut(&mut output.stdout), cut(&mut output.stderr));
        if !began {
            return Err(self.pre_submit_failed(code, DialectError::tail(&output.stderr)));
        }
        if matches!(code, 126 | 127) {
            let kind = if code == 127 { io::ErrorKind::NotFound } else { io::ErrorKind::PermissionDenied };
            let source = io::Error::new(kind, DialectError::tail(&output.stderr));
            return Err(SystemError::NotStarted { system: self.name.clone(), command, source });
        }
        Ok(output)
    }

    /// `sh` text: the commands, each read by itself, with their output on stderr; then the command itself.
    fn pre_submit_script(&self, words: &[&[u8]]) -> OsString {
        let mut text = b"set -e\nexec 9>&1 1>&2\n".to_vec();
        for command in &self.config.pre_submit {
            text.extend(b"eval ");
            text.extend(shell::quote(command.as_bytes()));
            text.push(b'\n');
        }
        text.extend(b"exec 1>&9 9>&-\nm='");
        text.extend(MARK.trim_end().as_bytes());
        text.extend(b"'\nprintf '%s\\n' \"$m\" >&2\nprintf '%s\\n' \"$m\"\nexec ");
        text.extend(shell::join(words));
        OsString::from_vec(text)
    }

    fn pre_submit_failed(&self, code: i32, output: String) -> SystemError {
        SystemError::PreSubmit { system: self.name.clone(), code, output }
    }

    /// The variables of this environment that describe an enclosing job.
    fn enclosing(&self) -> impl Iterator<Item = &OsString> {
        let patterns = self.dialect.enclosing_job();
        self.around.env.iter().map(|(name, _)| name).filter(move |name| {
            patterns.iter().any(|pattern| match pattern.strip_suffix('*') {
                Some(begin) => name.as_bytes().starts_with(begin.as_bytes()),
                None => name == pattern,
            })
        })
    }

    /// The variables of this environment that the submit command does not get.
    fn kept_back(&self) -> impl Iterator<Item = &OsString> {
        let names = self.around.env.iter().map(|(name, _)| name);
        names.filter(|name| !self.dialect.submits_with(name.as_bytes()))
    }

    pub(crate) fn host_error(&self, command: String, error: HostError) -> SystemError {
        let system = self.name.clone();
        match error {
            HostError::Start { source, .. } => SystemError::NotStarted { system, command, source },
            HostError::Timeout { timeout, stderr, .. } => {
                let stderr = stderr.split(MARK.trim_end()).last().unwrap_or_default().trim().to_owned();
                SystemError::TimedOut { system, command, timeout, stderr }
            }
            HostError::Stream { what, source, .. } => {
                let source = io::Error::new(source.kind(), format!("{what}: {source}"));
                SystemError::Stream { system, command, source }
            }
            other => SystemError::Stream { system, command, source: io::Error::other(other) },
        }
    }
}

/// Removes all up to the mark; whether it was there.
fn cut(stream: &mut Vec<u8>) -> bool {
    let mark = MARK.as_bytes();
    let Some(at) = stream.windows(mark.len()).position(|window| window == mark) else { return false };
    stream.drain(..at + mark.len());
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cluster_core::exec::LocalHost;
    use cluster_core::state::ExitStatus;

    use super::*;
    use crate::system::toy::Toy;

    /// A system whose command `toysub` is this shell script.
    fn system(toy: &Toy, script: &str) -> System {
        toy.command("toysub", script);
        toy.system_on(LocalHost)
    }

    #[test]
    fn the_sites_path_stands_for_the_plain_name_of_its_own_commands_alone() {
        let toy = Toy::new();
        let mut system = system(&toy, "echo $0 \"$@\"");
        let out = |system: &System| {
            let output = system.run(&Invocation::new(["toysub", "toysub"])).unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let bin = toy.bin().join("toysub").display().to_string();
        assert_eq!(out(&system), format!("{bin} toysub\n"));
        toy.command("other", "echo other");
        system.config.commands.insert("toysub".to_owned(), toy.bin().join("other"));
        assert_eq!(out(&system), "other\n");
        assert_eq!(system.prepared(&Invocation::new(["sh"])).argv, ["sh"]);
    }

    #[test]
    fn a_submission_forgets_the_enclosing_job_and_a_query_does_not() {
        let toy = Toy::new();
        let mut system = system(&toy, "echo id=$TOY_JOB_ID server=$TOY_SERVER lang=$LC_ALL zone=$TZ");
        system.around.env = [("TOY_JOB_ID".into(), "7".into()), ("TOY_SERVER".into(), "x".into())].into();
        let mut invocation = Invocation::new(["toysub"]);
        for (name, value) in [("TOY_JOB_ID", "7"), ("TOY_SERVER", "x")] {
            invocation.env.push((name.into(), Some(value.into())));
        }
        assert_eq!(system.run(&invocation).unwrap().stdout, b"id=7 server=x lang=C.UTF-8 zone=UTC\n");
        let removed = |prepared: &System| prepared.enclosing().cloned().collect::<Vec<_>>();
        assert_eq!(removed(&system), ["TOY_JOB_ID"]);
        let plain = system.submit(&Invocation::new(["toysub"])).unwrap();
        assert_eq!(plain.stdout, b"id= server= lang=C.UTF-8 zone=UTC\n");
    }

    #[test]
    fn variables_of_a_system_go_to_all_its_commands_and_to_what_it_is_known_by() {
        let mut toy = Toy::new();
        for (name, value) in [("TOY_SERVER", "y"), ("TOY_CELL", "a b"), ("LC_ALL", "de_DE")] {
            toy.config.env.insert(name.to_owned(), value.to_owned());
        }
        toy.command("toysub", "echo \"$TOY_SERVER $TOY_CELL $LC_ALL\"");
        let system = toy.system_in(&[("TOY_SERVER", "x")], LocalHost);
        for said in [system.run(&Invocation::new(["toysub"])), system.submit(&Invocation::new(["toysub"]))] {
            assert_eq!(said.unwrap().stdout, b"y a b C.UTF-8\n");
        }
        assert_eq!(system.around.var("TOY_SERVER"), Some("y".as_ref()));
    }

    #[test]
    fn a_variable_that_only_the_submit_command_reads_is_told_to_all() {
        let told = |env: &[(&str, &str)]| {
            let prepared = Toy::new().system_in(env, LocalHost).prepared(&Invocation::new(["toyq"]));
            let set = prepared.env.into_iter().find(|(name, _)| name == "TOY_ALL_AT");
            set.and_then(|(_, value)| value)
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("TOY_SUBMIT_AT", "b")]), Some("b".into()));
        // What is set for all is not ours to change.
        assert_eq!(told(&[("TOY_SUBMIT_AT", "b"), ("TOY_ALL_AT", "a")]), None);
    }

    #[test]
    fn pre_submit_shares_the_shell_and_its_chatter_is_cut_off() {
        let toy = Toy::new();
        let mut system = system(&toy, "echo \"$TICKET $1\"; echo warn >&2; exit 4");
        system.config.pre_submit = vec!["echo loading".to_owned(), "export TICKET='a b'\n: done".to_owned()];
        let output = system.submit(&Invocation::new(["toysub", "it's $HOME"])).unwrap();
        assert_eq!(output.status, ExitStatus::Exit(4));
        assert_eq!(output.stdout, b"a b it's $HOME\n");
        assert_eq!(output.stderr, b"warn\n");
    }

    #[test]
    fn a_failed_pre_submit_ends_it_and_shows_what_it_printed() {
        let toy = Toy::new();
        let mut system = system(&toy, "echo never > \"$(dirname \"$0\")/sent\"");
        for command in
            ["echo no ticket; false", "no-such-command", "exit 0", "if", "unset x; echo ${x:?no x}"]
        {
            system.config.pre_submit = vec![command.to_owned()];
            let error = system.submit(&Invocation::new(["toysub"])).unwrap_err();
            assert!(matches!(error, SystemError::PreSubmit { .. }), "{command}: {error}");
            assert!(!error.is_doubt() && !toy.bin().join("sent").exists(), "{command}");
        }
        system.config.pre_submit = vec!["echo no ticket; false".to_owned()];
        let error = system.submit(&Invocation::new(["toysub"])).unwrap_err().to_string();
        assert!(error.contains("nothing was submitted") && error.ends_with("no ticket"), "{error}");
    }

    #[test]
    fn a_kill_at_the_limit_is_a_doubt_only_once_the_command_began() {
        let toy = Toy::new();
        let mut system = system(&toy, "echo on my way >&2; exec sleep 1000");
        system.config.timeout = Some(Duration::from_millis(300));
        let error = system.submit(&Invocation::new(["toysub"])).unwrap_err();
        assert!(error.is_doubt() && error.is_passing(), "{error}");
        assert!(error.to_string().ends_with("on my way"), "{error}");
        system.config.pre_submit = vec!["echo first".to_owned()];
        let error = system.submit(&Invocation::new(["toysub"])).unwrap_err();
        assert!(matches!(&error, SystemError::TimedOut { stderr, .. } if stderr == "on my way"), "{error:?}");
        system.config.pre_submit = vec!["sleep 1000".to_owned()];
        let error = system.submit(&Invocation::new(["toysub"])).unwrap_err();
        assert!(matches!(error, SystemError::PreSubmit { .. }), "{error}");
    }

    #[test]
    fn a_command_that_is_not_there_is_named_with_what_to_do() {
        let toy = Toy::new();
        let mut system = toy.system_on(LocalHost);
        for pre_submit in [vec![], vec![":".to_owned()]] {
            system.config.pre_submit = pre_submit;
            let error = system.submit(&Invocation::new(["toysub"])).unwrap_err();
            assert!(matches!(error, SystemError::NotStarted { .. }) && !error.is_doubt(), "{error}");
            assert!(error.to_string().contains("`commands` or `bin`"), "{error}");
            assert_eq!(error.exit_code(), 3);
        }
        assert_eq!(system.locate("toysub"), None);
        toy.command("toysub", "");
        assert_eq!(system.locate("toysub"), Some(toy.bin().join("toysub")));
    }
}
