//! What a job may be called, and what the qmaster says of other names.

/// Why a name is refused: the code of `qsub`, and the whole text on stderr.
pub(crate) fn refusal(name: &str) -> Option<(i32, String)> {
    let job = |text: &str| Some((1, format!("Unable to run job: {text}\nExiting.\n")));
    if name.contains('/') {
        return Some((2, "qsub: argument to -N option must not contain / \n".into()));
    }
    if name.is_empty() {
        return job("job rejected cause there is no job_name in the request");
    }
    if name.len() > 512 {
        return job("job name too long, maximum allowed length is 512 characters");
    }
    for (letter, called) in [
        ('\n', "Return not allowed in objectname"),
        ('\t', "Tabulator not allowed in objectname"),
        ('\r', "Carriage Return not allowed in objectname"),
        (':', "Colon (':') not allowed in objectname"),
        ('@', "At ('@') not allowed in objectname"),
        ('\\', "Backslash ('\\') not allowed in objectname"),
        ('*', "Asterisk ('*') not allowed in objectname"),
        ('?', "Questionmark ('?') not allowed in objectname"),
    ] {
        if name.contains(letter) {
            return job(called);
        }
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        return job(&format!("denied: \"{name}\" is not a valid object name (cannot start with a digit)"));
    }
    if name.contains(' ') || !name.is_ascii() {
        return job("Error reading answer list from qmaster");
    }
    None
}

/// Does a name fit a pattern with `*` and `?`?
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    fn go(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => {
                go(rest, name) || name.split_first().is_some_and(|(_, tail)| go(pattern, tail))
            }
            (Some(('?', rest)), Some((_, tail))) => go(rest, tail),
            (Some((wanted, rest)), Some((got, tail))) => wanted == got && go(rest, tail),
            _ => false,
        }
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    go(&pattern, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recordings `qsub_name_…`.
    #[test]
    fn names_are_refused_as_recorded() {
        let says = |name: &str| {
            refusal(name).map(|(code, text)| format!("{code} {}", text.lines().next().unwrap_or("")))
        };
        for (name, said) in [
            ("two words", "1 Unable to run job: Error reading answer list from qmaster"),
            ("größe-δ-日本", "1 Unable to run job: Error reading answer list from qmaster"),
            ("a/b", "2 qsub: argument to -N option must not contain / "),
            ("a:b", "1 Unable to run job: Colon (':') not allowed in objectname"),
            ("a@b", "1 Unable to run job: At ('@') not allowed in objectname"),
            ("a*b", "1 Unable to run job: Asterisk ('*') not allowed in objectname"),
            ("a?b", "1 Unable to run job: Questionmark ('?') not allowed in objectname"),
            (
                "1digit",
                "1 Unable to run job: denied: \"1digit\" is not a valid object name (cannot start with a digit)",
            ),
            ("", "1 Unable to run job: job rejected cause there is no job_name in the request"),
            ("line1\nline2", "1 Unable to run job: Return not allowed in objectname"),
        ] {
            assert_eq!(says(name).as_deref(), Some(said));
        }
        for name in
            ["k=v,x", "<xml>&amp;", "-dash", "$JOB_ID", "p%d", "semi;colon", "(par)[br]{cu}", "tick`s"]
        {
            assert_eq!(says(name), None, "{name}");
        }
        assert!(fits("run*", "run1") && fits("r?n1", "run1") && !fits("run", "run1"));
    }
}
