//! Command lines: their environment, and what can be seen in those of others.

use std::ffi::OsString;
use std::path::Path;

use cluster_core::host::Invocation;

/// Variables that shape what the commands print or leave out.
const SHAPING: &[&str] =
    &["PBS_QSTAT_EXECONLY", "PBS_QSTAT_NO_COMPLETE", "QSTATRCHOME", "PBSDEBUG", "PBSCORE"];

/// A command line whose output is read.
pub(crate) fn question<W: Into<OsString>>(argv: impl IntoIterator<Item = W>) -> Invocation {
    let mut invocation = Invocation::new(argv);
    invocation.env = vec![("LC_ALL".into(), Some("C.UTF-8".into())), ("TZ".into(), Some("UTC".into()))];
    invocation.env.extend(SHAPING.iter().map(|name| ((*name).into(), None)));
    invocation
}

/// A question about many jobs. No one call gives the full records of one user, so the answer has those of the
/// whole site: 2 to 4 KB a job, and every element of an array has one.
pub(crate) fn about_all<W: Into<OsString>>(argv: impl IntoIterator<Item = W>) -> Invocation {
    Invocation { output_cap: 256 << 20, ..question(argv) }
}

/// A command line that submits. The prefix of directives is `#PBS`, whatever the user's own scripts have.
pub(crate) fn submission(argv: Vec<OsString>) -> Invocation {
    let mut invocation = question(argv);
    invocation.env.push(("PBS_DPREFIX".into(), None));
    invocation
}

/// A command line as somebody typed it: the command, its options, its operands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Typed {
    /// The base name.
    pub(crate) command: String,
    /// The letters of all options without a value.
    pub(crate) letters: String,
    /// `-F`.
    pub(crate) format: Option<String>,
    /// `-D`.
    pub(crate) delimiter: Option<String>,
    /// Long options, with their dashes.
    pub(crate) long: Vec<String>,
    /// All that is no option.
    pub(crate) operands: Vec<String>,
}

impl Typed {
    /// Reads a command line. `with_value`: the letters whose next word, or the rest of the word, is a value.
    pub(crate) fn read(argv: &[OsString], with_value: impl Fn(&str) -> &'static str) -> Self {
        let mut words = argv.iter().map(|word| word.to_string_lossy().into_owned());
        let first = words.next().unwrap_or_default();
        let command =
            Path::new(&first).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let valued = with_value(&command);
        let mut typed = Self { command, ..Self::default() };
        while let Some(word) = words.next() {
            if word.starts_with("--") && word.len() > 2 {
                typed.long.push(word);
                continue;
            }
            let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                typed.operands.push(word);
                continue;
            };
            let mut rest = letters.chars();
            while let Some(letter) = rest.next() {
                if !valued.contains(letter) {
                    typed.letters.push(letter);
                    continue;
                }
                let value = match rest.as_str() {
                    "" => words.next().unwrap_or_default(),
                    value => value.to_owned(),
                };
                match letter {
                    'F' => typed.format = Some(value),
                    'D' => typed.delimiter = Some(value),
                    _ => typed.letters.push(letter),
                }
                break;
            }
        }
        typed
    }

    /// Whether an option without a value is there.
    pub(crate) fn has(&self, letter: char) -> bool {
        self.letters.contains(letter)
    }
}
