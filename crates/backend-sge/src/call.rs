//! The command line whose output is read: [`Call`], and those we make ourselves: [`invocation`].

use std::ffi::OsString;

use cluster_core::dialect::DialectError;
use cluster_core::host::Invocation;

/// Variables of a user's that change what the commands print.
const SHAPE_OUTPUT: &[&str] = &[
    "SGE_LONG_JOB_NAMES",
    "SGE_LONG_QNAMES",
    "SGE_SINGLE_LINE",
    "SGE_SINGLE_LINE_OUTPUT",
    "SGE_DEBUG_LEVEL",
    "SGE_DEBUG_TARGET",
];

/// A command line with times in UTC and nothing that shapes its output.
pub(crate) fn invocation<W: Into<OsString>>(argv: impl IntoIterator<Item = W>) -> Invocation {
    let mut invocation = Invocation::new(argv);
    let set = [("LC_ALL", "C.UTF-8"), ("TZ", "UTC")];
    invocation.env.extend(set.map(|(name, value)| (name.into(), Some(value.into()))));
    invocation.env.extend(SHAPE_OUTPUT.iter().map(|name| (name.into(), None)));
    invocation
}

/// A command line: the plain name of its program, and its words. A word that is no UTF-8 is none of ours.
pub(crate) struct Call<'a> {
    pub(crate) program: &'a str,
    pub(crate) words: Vec<&'a str>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(argv: &'a [OsString]) -> Self {
        let mut words = argv.iter().map(|word| word.to_str().unwrap_or("\u{fffd}"));
        let program = words.next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or(program);
        Self { program, words: words.collect() }
    }

    /// Whether the option is there.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.words.contains(&option)
    }

    /// The word after the option.
    pub(crate) fn value(&self, option: &str) -> Option<&'a str> {
        let at = self.words.iter().position(|word| *word == option)?;
        self.words.get(at + 1).copied()
    }

    /// The command line as a person would type it, not longer than a line of a message should be.
    pub(crate) fn line(&self) -> String {
        let line = std::iter::once(&self.program).chain(&self.words).copied().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(200) {
            Some((at, _)) => format!("{} …", &line[..at]),
            None => line,
        }
    }

    /// That this form of output is none that we read.
    pub(crate) fn not_read(&self, why: &str) -> DialectError {
        DialectError::NotRead { command: self.line(), why: why.to_owned() }
    }

    /// That the text at byte `offset` is not what was expected.
    pub(crate) fn syntax(&self, text: &[u8], offset: usize, expected: &str) -> DialectError {
        DialectError::syntax(self.line(), text, offset, expected)
    }
}
