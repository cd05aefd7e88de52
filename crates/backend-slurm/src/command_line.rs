//! The options in a command line of Slurm's: GNU's long options, abbreviated where one alone fits, and
//! short ones that may be joined.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// One option that a command knows: its letter, its word, and whether it takes a value.
pub(crate) type Known = (u8, &'static str, bool);

/// What a command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CommandLine<'a> {
    options: Vec<(&'static str, &'a [u8])>,
    /// The words that are no options.
    pub(crate) words: Vec<&'a [u8]>,
}

impl<'a> CommandLine<'a> {
    /// Reads the words after the program's name. Unknown options are left out; a long one without `=` is
    /// taken to have no value.
    pub(crate) fn read(argv: &'a [OsString], known: &[Known]) -> Self {
        let mut line = Self::default();
        let mut words = argv.iter().skip(1).map(|word| word.as_os_str().as_bytes());
        while let Some(word) = words.next() {
            if word == b"--" {
                line.words.extend(words.by_ref());
            } else if let Some(long) = word.strip_prefix(b"--") {
                let (name, value) = match long.iter().position(|&b| b == b'=') {
                    Some(at) => (&long[..at], Some(&long[at + 1..])),
                    None => (long, None),
                };
                let Some((_, name, takes)) = long_option(name, known) else { continue };
                let value = match value {
                    Some(value) => value,
                    None if takes => words.next().unwrap_or_default(),
                    None => b"",
                };
                line.options.push((name, value));
            } else if word.len() > 1 && word.starts_with(b"-") {
                let mut letters = &word[1..];
                while let Some((letter, rest)) = letters.split_first() {
                    letters = rest;
                    let Some((_, name, takes)) = known.iter().copied().find(|known| known.0 == *letter)
                    else {
                        continue;
                    };
                    if takes {
                        let value =
                            if letters.is_empty() { words.next().unwrap_or_default() } else { letters };
                        line.options.push((name, value));
                        break;
                    }
                    line.options.push((name, b""));
                }
            } else {
                line.words.push(word);
            }
        }
        line
    }

    /// The last value of an option.
    pub(crate) fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.options.iter().rev().find(|option| option.0 == name).map(|option| option.1)
    }

    /// Whether an option is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }
}

/// The option with this word, or the only one that begins with it.
fn long_option(name: &[u8], known: &[Known]) -> Option<Known> {
    let named = |exact: bool| {
        let mut fitting = known.iter().copied().filter(move |known| {
            if exact { known.1.as_bytes() == name } else { known.1.as_bytes().starts_with(name) }
        });
        let first = fitting.next();
        first.filter(|_| exact || fitting.next().is_none())
    };
    named(true).or_else(|| named(false))
}

/// The name of the program, without its directories.
pub(crate) fn program(argv: &[OsString]) -> &[u8] {
    let path = argv.first().map(|word| word.as_os_str().as_bytes()).unwrap_or_default();
    path.rsplit(|&b| b == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Known] =
        &[(b'h', "noheader", false), (b'o', "format", true), (b'O', "Format", true), (0, "json", false)];

    fn argv(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn options_are_read_in_all_their_forms() {
        for words in [
            &["squeue", "-h", "-o", "%i"][..],
            &["squeue", "-ho%i"],
            &["squeue", "-ho", "%i"],
            &["squeue", "--noheader", "--format=%i"],
            &["squeue", "--nohead", "--form", "%i"],
        ] {
            let argv = argv(words);
            let line = CommandLine::read(&argv, KNOWN);
            assert!(line.has("noheader"), "{words:?}");
            assert_eq!(line.value("format"), Some(&b"%i"[..]), "{words:?}");
            assert!(line.words.is_empty() && !line.has("Format") && !line.has("json"));
        }
        let argv = argv(&["scontrol", "show", "job", "--", "-h"]);
        assert_eq!(CommandLine::read(&argv, KNOWN).words, [&b"show"[..], b"job", b"-h"]);
        assert_eq!(program(&[OsString::from("/opt/slurm/bin/sbatch")]), b"sbatch");
        assert_eq!(program(&[]), b"");
    }
}
