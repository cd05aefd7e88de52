//! The types of options, and the check of a text against one: [`OptionType`].

use cluster_core::{MemSize, Walltime};

use crate::amount::{CoreAmount, MemAmount};
use crate::env_export::EnvExport;
use crate::nearest::nearest;
use crate::value::Value;

/// What an option takes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OptionType {
    /// `true`, `false`, `yes`, `no`, `on`, `off`, `1`, `0`.
    Bool,
    /// A whole number.
    Int {
        /// The smallest.
        min: i64,
        /// The largest.
        max: i64,
        /// Also `max` and a percentage; the value is [`Value::Cores`] then.
        relative: bool,
    },
    /// A number.
    Float {
        /// The smallest.
        min: f64,
        /// The largest.
        max: f64,
    },
    /// Any text without control characters.
    String,
    /// Texts.
    List {
        /// The characters between them.
        split: String,
    },
    /// A time.
    Time {
        /// The shortest.
        min: Walltime,
    },
    /// An amount of memory.
    Memory {
        /// The smallest.
        min: MemSize,
        /// Also a percentage.
        relative: bool,
    },
    /// A path.
    Path,
    /// One of these words.
    Choice(Vec<String>),
    /// A choice of environment variables.
    Env,
}

/// A text that is no value of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// What is accepted.
    pub(crate) expected: String,
    /// Spellings that would be, which may be what was meant.
    pub(crate) nearest: Vec<String>,
}

const BOOLS: [(&str, bool); 8] = [
    ("true", true),
    ("false", false),
    ("yes", true),
    ("no", false),
    ("on", true),
    ("off", false),
    ("1", true),
    ("0", false),
];

impl OptionType {
    /// The word for it in the catalogue.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int { .. } => "int",
            Self::Float { .. } => "float",
            Self::String => "string",
            Self::List { .. } => "list",
            Self::Time { .. } => "time",
            Self::Memory { .. } => "memory",
            Self::Path => "path",
            Self::Choice(_) => "choice",
            Self::Env => "env",
        }
    }

    /// What is accepted, for help and messages.
    pub fn expected(&self) -> String {
        match self {
            Self::Bool => "true or false (yes, no, on, off, 1, 0)".to_owned(),
            Self::Int { min, max, relative: false } => format!("a whole number from {min} to {max}"),
            Self::Int { min, max, relative: true } => {
                format!("a whole number from {min} to {max}, `max`, or a percentage like `50%`")
            }
            Self::Float { min, max } => match (min.is_finite(), max.is_finite()) {
                (true, true) => format!("a number from {min} to {max}"),
                (true, false) => format!("a number from {min} up"),
                (false, true) => format!("a number up to {max}"),
                (false, false) => "a number".to_owned(),
            },
            Self::String => "text without control characters".to_owned(),
            Self::List { split } => format!("items without control characters, `{split}` between them"),
            Self::Time { min } if min.as_secs() == Some(0) => Walltime::EXPECTED.to_owned(),
            Self::Time { min } => format!("{}, at least {min}", Walltime::EXPECTED),
            Self::Memory { min, relative } => {
                let expected = if *relative { MemAmount::EXPECTED } else { MemSize::EXPECTED };
                if min.as_mb() == 0 { expected.to_owned() } else { format!("{expected}, at least {min}") }
            }
            Self::Path => "a path".to_owned(),
            Self::Choice(words) => words.join(", "),
            Self::Env => EnvExport::EXPECTED.to_owned(),
        }
    }

    /// Reads a text as a value of this type.
    pub(crate) fn read(&self, text: &str) -> Result<Value, Mismatch> {
        self.try_read(text).ok_or_else(|| Mismatch { expected: self.expected(), nearest: self.suggest(text) })
    }

    fn try_read(&self, text: &str) -> Option<Value> {
        let trimmed = text.trim();
        match self {
            Self::Bool => {
                let found = BOOLS.iter().find(|(word, _)| word.eq_ignore_ascii_case(trimmed));
                found.map(|(_, value)| Value::Bool(*value))
            }
            Self::Int { min, max, relative: false } => {
                let value = trimmed.parse::<i64>().ok().filter(|v| (min..=max).contains(&v));
                value.map(Value::Int)
            }
            Self::Int { min, max, relative: true } => {
                let value = trimmed.parse::<CoreAmount>().ok()?;
                let fits = value.number().is_none_or(|n| (*min..=*max).contains(&i64::from(n)));
                fits.then_some(Value::Cores(value))
            }
            Self::Float { min, max } => {
                let value = trimmed.parse::<f64>().ok().filter(|v| v.is_finite() && *min <= *v && *v <= *max);
                value.map(Value::Float)
            }
            Self::String => plain(trimmed).then(|| Value::Text(trimmed.to_owned())),
            Self::List { split } => {
                let items: Vec<String> =
                    trimmed.split(|c| split.contains(c)).map(|i| i.trim().to_owned()).collect();
                items.iter().all(|item| plain(item)).then_some(Value::List(items))
            }
            Self::Time { min } => trimmed.parse().ok().filter(|time| time >= min).map(Value::Time),
            Self::Memory { min, relative } => {
                let value = trimmed.parse::<MemAmount>().ok()?;
                let fits = value.size().map_or(*relative, |size| size >= *min);
                fits.then_some(Value::Memory(value))
            }
            // Blanks at either end may be part of a file's name, and so may a newline: nothing is trimmed.
            Self::Path => (!text.is_empty() && !text.contains('\0')).then(|| Value::Path(text.into())),
            Self::Choice(words) => {
                let found = words.iter().find(|word| word.eq_ignore_ascii_case(trimmed));
                found.map(|word| Value::Choice(word.clone()))
            }
            Self::Env => trimmed.parse().ok().map(Value::Env),
        }
    }

    /// Spellings that this type takes and that `text` may have been meant to be.
    fn suggest(&self, text: &str) -> Vec<String> {
        if text.len() > 64 {
            return Vec::new();
        }
        let words: Vec<&str> = match self {
            Self::Bool => BOOLS.iter().map(|(word, _)| *word).filter(|word| word.len() > 1).collect(),
            Self::Choice(words) => words.iter().map(String::as_str).collect(),
            Self::Env => vec!["all", "none"],
            Self::Time { .. } => vec!["unlimited"],
            Self::Int { relative: true, .. } => vec!["max"],
            _ => Vec::new(),
        };
        let near = nearest(text, words);
        if !near.is_empty() {
            return near.into_iter().map(str::to_owned).collect();
        }
        let measured =
            matches!(self, Self::Int { .. } | Self::Float { .. } | Self::Time { .. } | Self::Memory { .. });
        let repaired =
            measured.then(|| repair_number(text)).filter(|repaired| self.try_read(repaired).is_some());
        repaired.into_iter().collect()
    }
}

/// May this text stand in a directive: something is there, and no control character.
fn plain(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// Mends what people write for numbers with units: `4 hours` → `4h`, `1,5 GByte` → `1.5g`.
fn repair_number(text: &str) -> String {
    let mut repaired = String::new();
    let mut in_word = false;
    for c in text.trim().chars().flat_map(char::to_lowercase) {
        match c {
            ' ' | '\t' | '_' | '\'' | '+' => in_word = false,
            ',' => repaired.push('.'),
            // Of a word the first letter is the unit.
            c if c.is_alphabetic() => {
                if !in_word {
                    repaired.push(c);
                }
                in_word = true;
            }
            c => {
                in_word = false;
                repaired.push(c);
            }
        }
    }
    repaired
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn types() -> Vec<OptionType> {
        vec![
            OptionType::Bool,
            OptionType::Int { min: -5, max: 500, relative: false },
            OptionType::Int { min: 1, max: 500, relative: true },
            OptionType::Float { min: 0.0, max: f64::INFINITY },
            OptionType::String,
            OptionType::List { split: ",;".to_owned() },
            OptionType::Time { min: Walltime::from_secs(1) },
            OptionType::Memory { min: MemSize::from_mb(1), relative: true },
            OptionType::Memory { min: MemSize::from_mb(0), relative: false },
            OptionType::Path,
            OptionType::Choice(vec!["files".to_owned(), "packed".to_owned()]),
            OptionType::Env,
        ]
    }

    #[test]
    fn wrong_values_get_the_nearest_good_one() {
        let time = OptionType::Time { min: Walltime::from_secs(1) };
        let mem = OptionType::Memory { min: MemSize::from_mb(1), relative: true };
        let choice = OptionType::Choice(vec!["files".to_owned(), "packed".to_owned()]);
        for (kind, text, nearest) in [
            (&OptionType::Bool, "ture", vec!["true"]),
            (&time, "4 hours", vec!["4h"]),
            (&time, "1 hour 30 minutes", vec!["1h30m"]),
            (&time, "unlimted", vec!["unlimited"]),
            (&time, "0", vec![]),
            (&mem, "1,5 GByte", vec!["1.5g"]),
            (&mem, "lots", vec![]),
            (&choice, "pakced", vec!["packed"]),
            (&choice, "x", vec![]),
            (&OptionType::Int { min: 1, max: 9, relative: false }, "1_0", vec![]),
            (&OptionType::Int { min: 1, max: 10_000, relative: false }, "1_000", vec!["1000"]),
        ] {
            assert_eq!(kind.read(text).unwrap_err().nearest, nearest, "{text}");
        }
    }

    #[test]
    fn limits_hold() {
        let int = OptionType::Int { min: -5, max: 500, relative: false };
        assert_eq!(int.read(" -5 ").unwrap(), Value::Int(-5));
        for text in ["-6", "501", "50%", "max", "1.0", "", "99999999999999999999"] {
            assert!(int.read(text).is_err(), "{text}");
        }
        let float = OptionType::Float { min: 0.0, max: f64::INFINITY };
        for text in ["nan", "inf", "-1", "1e999", ""] {
            assert!(float.read(text).is_err(), "{text}");
        }
        assert!(OptionType::Memory { min: MemSize::from_mb(0), relative: false }.read("50%").is_err());
        assert!(OptionType::String.read("a\nb").is_err());
        assert!(OptionType::List { split: ",".to_owned() }.read("a,,b").is_err());
        assert!(OptionType::Path.read("a\0b").is_err());
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in "[a-z0-9.,:%=GMhs -]{1,12}") {
            for kind in types() {
                if let Ok(value) = kind.read(&text) {
                    prop_assert_eq!(kind.read(&value.to_string()).unwrap(), value);
                }
            }
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "(?s).{0,8}") {
            for kind in types() {
                let _ = (kind.read(&text), kind.read(&near));
            }
        }
    }
}
