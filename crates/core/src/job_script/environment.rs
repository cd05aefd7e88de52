//! The submitter's environment as a file that `job.sh` reads.

use crate::bytestring::ByteString;
use crate::shell::quote;

/// The environment as a file that `sh` reads: one `export` a variable.
///
/// Names that a shell cannot hold are left out, as are those that it sets or reads itself while it runs
/// our lines (`IFS` …) and what [`travels`] leaves behind.
pub fn environment_file<'a>(
    variables: impl IntoIterator<Item = (&'a ByteString, &'a ByteString)>,
) -> Vec<u8> {
    let mut text = Vec::new();
    for (name, value) in variables {
        let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let is_name = name.0.iter().all(word) && !name.0.first().is_none_or(u8::is_ascii_digit);
        let own = [
            "_",
            "PPID",
            "UID",
            "EUID",
            "SHELLOPTS",
            "BASHOPTS",
            "BASH_VERSINFO",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "OPTIND",
            "IFS",
            "LINENO",
        ];
        if !is_name || own.iter().any(|own| own.as_bytes() == name.0) || !travels(&name.0) {
            continue;
        }
        text.extend_from_slice(b"export ");
        text.extend_from_slice(&name.0);
        text.push(b'=');
        text.extend_from_slice(&quote(&value.0));
        text.push(b'\n');
    }
    text
}

/// The variables in a file that [`environment_file`] made; `None` where it is not of its making.
///
/// ```
/// use cluster_core::{ByteString, job_script::{environment_file, parse_environment}};
/// let (name, value) = (ByteString::from("A"), ByteString::from("it's\n2"));
/// let file = environment_file([(&name, &value)]);
/// assert_eq!(parse_environment(&file), Some(vec![(name, value)]));
/// ```
pub fn parse_environment(text: &[u8]) -> Option<Vec<(ByteString, ByteString)>> {
    let mut variables = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        rest = rest.strip_prefix(b"export ")?;
        let equals = rest.iter().position(|&b| b == b'=')?;
        let name = rest[..equals].to_vec();
        rest = &rest[equals + 1..];
        let mut value = Vec::new();
        loop {
            match rest.first()? {
                b'\n' => break,
                b'\'' => {
                    let end = rest[1..].iter().position(|&b| b == b'\'')?;
                    value.extend_from_slice(&rest[1..=end]);
                    rest = &rest[end + 2..];
                }
                b'\\' => {
                    value.push(*rest.get(1)?);
                    rest = &rest[2..];
                }
                &plain => {
                    value.push(plain);
                    rest = &rest[1..];
                }
            }
        }
        rest = &rest[1..];
        variables.push((ByteString(name), ByteString(value)));
    }
    Some(variables)
}

/// Whether a variable goes with the job: not what belongs to a host or a login, nor to a job we are in.
pub fn travels(name: &[u8]) -> bool {
    const STAYS: &[&str] = &[
        "TMPDIR",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "DBUS_SESSION_BUS_ADDRESS",
        "WINDOWID",
        "GPG_TTY",
        "TTY",
        "STY",
        "TMUX",
        "TMUX_PANE",
        "HOSTNAME",
        "MAIL",
        "INVOCATION_ID",
        "JOURNAL_STREAM",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
    ];
    const STAY_PREFIXES: &[&str] =
        &["SSH_", "XDG_RUNTIME_", "XDG_SESSION_", "XDG_SEAT", "XDG_VTNR", "_cluster_"];
    const JOB: &[&str] = &[
        "CLUSTER_BATCH_ID",
        "CLUSTER_JOB_ID",
        "CLUSTER_JOB_INDEX",
        "CLUSTER_RUN",
        "CLUSTER_ROOT",
        "CLUSTER_SUBMISSION",
        "CLUSTER_DEPTH",
        "CLUSTER_NNODES",
        "CLUSTER_TOT_NCORES",
        "CLUSTER_TOT_NTASKS",
        "CLUSTER_NCORES_PER_NODE",
        "CLUSTER_NTASKS_PER_NODE",
        "CLUSTER_NCORES_PER_TASK",
    ];
    !STAYS.iter().chain(JOB).any(|stays| stays.as_bytes() == name)
        && !STAY_PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_environment_reads_back(value in proptest::collection::vec(1u8.., 0..40), junk: Vec<u8>) {
            let (name, value) = (ByteString::from("X_1"), ByteString(value));
            let file = environment_file([(&name, &value)]);
            prop_assert_eq!(parse_environment(&file), Some(vec![(name, value)]));
            parse_environment(&junk);
        }
    }

    #[test]
    fn what_belongs_to_a_login_stays() {
        for stays in
            ["SSH_CONNECTION", "TMPDIR", "XDG_RUNTIME_DIR", "DISPLAY", "CLUSTER_JOB_ID", "CLUSTER_SUBMISSION"]
        {
            assert!(!travels(stays.as_bytes()), "{stays}");
        }
        for goes in ["PATH", "HOME", "LANG", "CLUSTER_OPT_TIME", "XDG_DATA_HOME"] {
            assert!(travels(goes.as_bytes()), "{goes}");
        }
        let file = environment_file([(&"IFS".into(), &",".into()), (&"A-B".into(), &"1".into())]);
        assert!(file.is_empty());
    }
}
