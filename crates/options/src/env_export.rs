//! Which of the submitter's environment a job gets: [`EnvExport`].

use std::fmt;
use std::str::FromStr;

use cluster_core::ParseError;

use crate::shown::shown;

/// `all`, `none`, or names: `PATH,HOME`, `all,MODE=fast`, `A=1,B`. Names without `all` mean these and no others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvExport {
    /// The whole environment, and not the named variables alone.
    pub all: bool,
    /// Variables by name; with a value they are set to it. The last of a name counts.
    pub variables: Vec<(String, Option<String>)>,
}

impl EnvExport {
    /// What is read, for messages.
    pub const EXPECTED: &'static str =
        "`all`, `none`, or names with commas, some with values (`PATH,MODE=fast`)";

    /// The whole environment.
    pub fn all() -> Self {
        Self { all: true, variables: Vec::new() }
    }
}

impl fmt::Display for EnvExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all || self.variables.is_empty() {
            f.write_str(if self.all { "all" } else { "none" })?;
        }
        for (i, (name, value)) in self.variables.iter().enumerate() {
            if i > 0 || self.all {
                f.write_str(",")?;
            }
            f.write_str(name)?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for EnvExport {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || ParseError::new("choice of environment variables", shown(text), Self::EXPECTED);
        let mut export = Self::default();
        let mut none = false;
        for part in text.split(',') {
            let (name, value) =
                part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            let name = name.trim();
            if value.is_none() && name.eq_ignore_ascii_case("all") {
                export.all = true;
            } else if value.is_none() && name.eq_ignore_ascii_case("none") {
                none = true;
            } else if is_variable_name(name) && !value.is_some_and(|v| v.contains('\0')) {
                export.variables.retain(|(other, _)| other != name);
                export.variables.push((name.to_owned(), value.map(str::to_owned)));
            } else {
                return Err(wrong());
            }
        }
        // "none,A" could mean A or nothing: a job without its variables would be found out late.
        if none && (export.all || !export.variables.is_empty()) { Err(wrong()) } else { Ok(export) }
    }
}

/// A name that every shell takes.
fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, printed) in [
            ("all", "all"),
            ("ALL", "all"),
            ("none", "none"),
            ("A,B", "A,B"),
            ("A, B", "A,B"),
            ("all,A=1", "all,A=1"),
            ("A=1,all,B,A", "all,B,A"),
            ("A=x=y z", "A=x=y z"),
            ("all=1", "all=1"),
            ("A=", "A="),
        ] {
            let export = text.parse::<EnvExport>().unwrap();
            assert_eq!(export.to_string(), printed, "{text}");
            assert_eq!(printed.parse::<EnvExport>().unwrap(), export);
        }
        for text in ["", ",", "A,", "1A", "A-B", "$(id)", "A B", "none,A", "all,none", "=1", "A=\0", "Ä"] {
            assert!(text.parse::<EnvExport>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in "[AaBl,=1 none]{0,16}") {
            if let Ok(export) = text.parse::<EnvExport>() {
                prop_assert_eq!(export.to_string().parse::<EnvExport>().unwrap(), export);
            }
        }
    }
}
