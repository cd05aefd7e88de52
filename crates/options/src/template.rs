//! The text of a directive with a place for the value: [`Template`].

use thiserror::Error;

use crate::amount::{CoreAmount, MemAmount};
use crate::value::Value;

/// A directive's text with at most one `{value}`, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    before: String,
    /// The form of the value and the text after it; `None` where there is no place for a value.
    place: Option<(Form, String)>,
}

/// How the value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it prints.
    Plain,
    /// A time as HH:MM:SS.
    Hms,
    /// A time as [D-]HH:MM:SS.
    DaysHms,
    /// A time in seconds.
    Seconds,
    /// Memory in MB.
    Mb,
}

/// Why a value does not go into a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RenderError {
    /// `max` or a percentage is no number yet.
    #[error("`{0}` depends on the machine and must be made a number first")]
    Relative(String),
    /// The value would end or split the directive.
    #[error("{0:?} has blanks, quotes or control characters, which a directive cannot carry")]
    NotPlain(String),
    /// The template writes a value of another type.
    #[error("the template's form does not fit the value `{0}`")]
    Form(String),
}

impl Template {
    /// Reads a template; the error says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let Some((before, rest)) = text.split_once('{') else {
            return if text.contains('}') {
                Err("a `}` without `{`".to_owned())
            } else {
                Ok(Self { before: text.to_owned(), place: None })
            };
        };
        let (place, after) = rest.split_once('}').ok_or("a `{` without `}`")?;
        let form = match place {
            "value" => Form::Plain,
            "value|hms" => Form::Hms,
            "value|days_hms" => Form::DaysHms,
            "value|seconds" => Form::Seconds,
            "value|mb" => Form::Mb,
            _ => {
                return Err(format!(
                    "`{{{place}}}` is none of {{value}}, {{value|hms}}, {{value|days_hms}}, {{value|seconds}}, {{value|mb}}"
                ));
            }
        };
        if before.contains('}') || after.contains(['{', '}']) {
            return Err("more than one place for the value".to_owned());
        }
        Ok(Self { before: before.to_owned(), place: Some((form, after.to_owned())) })
    }

    /// Has it a place for a value?
    pub fn takes_value(&self) -> bool {
        self.place.is_some()
    }

    /// The directive; `None` where this form has no words for the value (`unlimited` in HH:MM:SS).
    pub(crate) fn render(&self, value: &Value, join: &str) -> Result<Option<String>, RenderError> {
        let Some((form, after)) = &self.place else {
            return Ok(Some(self.before.clone()));
        };
        let text = match (form, value) {
            (_, Value::Cores(amount @ (CoreAmount::Max | CoreAmount::Percent(_)))) => {
                return Err(RenderError::Relative(amount.to_string()));
            }
            (_, Value::Memory(amount @ MemAmount::Percent(_))) => {
                return Err(RenderError::Relative(amount.to_string()));
            }
            (Form::Plain, Value::List(items)) => Some(items.join(join)),
            (Form::Plain, value) => Some(value.to_string()),
            (Form::Hms, Value::Time(time)) => time.hms(),
            // Only Slurm counts days, and UNLIMITED is its word.
            (Form::DaysHms, Value::Time(time)) => {
                Some(time.days_hms().unwrap_or_else(|| "UNLIMITED".to_owned()))
            }
            (Form::Seconds, Value::Time(time)) => time.as_secs().map(|secs| secs.to_string()),
            (Form::Mb, Value::Memory(MemAmount::Size(size))) => Some(size.as_mb().to_string()),
            (_, value) => return Err(RenderError::Form(crate::shown::shown(&value.to_string()))),
        };
        match text {
            Some(text)
                if text.contains(|c: char| c.is_control() || c.is_whitespace() || "'\"\\".contains(c)) =>
            {
                Err(RenderError::NotPlain(crate::shown::shown(&text)))
            }
            text => Ok(text.map(|text| format!("{}{text}{after}", self.before))),
        }
    }
}

#[cfg(test)]
mod tests {
    use cluster_core::{MemSize, Walltime};

    use super::*;

    fn render(template: &str, value: &Value) -> Result<Option<String>, RenderError> {
        Template::read(template).unwrap().render(value, ":")
    }

    #[test]
    fn values_take_the_form_of_the_template() {
        let time = Value::Time(Walltime::from_secs(90_061));
        let mem = Value::Memory(MemAmount::Size(MemSize::from_mb(4096)));
        let list = Value::List(vec!["a".into(), "b".into()]);
        for (template, value, want) in [
            ("--time={value|days_hms}", &time, "--time=1-01:01:01"),
            ("-l h_rt={value|hms}", &time, "-l h_rt=25:01:01"),
            ("{value|seconds}", &time, "90061"),
            ("-l mem={value|mb}mb", &mem, "-l mem=4096mb"),
            ("--mem={value}", &mem, "--mem=4G"),
            ("-W x={value}", &list, "-W x=a:b"),
            ("--hold", &Value::Bool(true), "--hold"),
        ] {
            assert_eq!(render(template, value).unwrap().as_deref(), Some(want));
        }
        let unlimited = Value::Time(Walltime::UNLIMITED);
        assert_eq!(render("-t {value|days_hms}", &unlimited).unwrap().as_deref(), Some("-t UNLIMITED"));
        assert_eq!(render("-t {value|hms}", &unlimited).unwrap(), None);
    }

    #[test]
    fn no_value_splits_a_directive() {
        for text in ["a b", "a\nb", "a'b", "a\"b", "a\\b", "a\u{a0}b", "\u{1b}[m"] {
            let error = render("-q {value}", &Value::Text(text.to_owned())).unwrap_err();
            assert!(matches!(error, RenderError::NotPlain(_)), "{text:?}");
        }
        assert!(matches!(render("{value}", &Value::Cores(CoreAmount::Max)), Err(RenderError::Relative(_))));
        assert!(matches!(render("{value|mb}", &Value::Int(1)), Err(RenderError::Form(_))));
    }

    #[test]
    fn bad_templates_are_errors() {
        for text in ["{", "}", "}{value}", "{valeu}", "{value|x}", "{value}{value}", "{value", "a}b"] {
            assert!(Template::read(text).is_err(), "{text}");
        }
    }
}
