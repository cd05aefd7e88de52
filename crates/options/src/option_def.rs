//! One option of the catalogue: [`OptionDef`], and how each scheduler is told: [`Spelling`].

use crate::option_error::OptionError;
use crate::option_type::OptionType;
use crate::scheduler_kind::SchedulerKind;
use crate::shown::shown;
use crate::template::{RenderError, Template};
use crate::value::Value;

/// One option.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OptionDef {
    /// Its name.
    pub name: String,
    /// Other names for it.
    pub synonyms: Vec<String>,
    /// What it takes.
    pub kind: OptionType,
    /// Its value where nobody gave one; `None` leaves it to the system.
    pub default: Option<Value>,
    /// The heading it stands under.
    pub group: String,
    /// One or two sentences; the first is the short help.
    pub help: String,
    /// The version that brought it.
    pub since: String,
    /// How each scheduler is told, in the order of [`SchedulerKind::ALL`].
    pub(crate) spellings: [Spelling; SchedulerKind::ALL.len()],
}

/// How one scheduler is told the value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Spelling {
    /// By a directive.
    Template {
        /// Its text.
        template: Template,
        /// What goes between the items of a list.
        join: String,
    },
    /// The dialect does it.
    ByCode,
    /// It cannot be said, for this reason.
    Cannot(String),
}

/// What became of a value for one scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rendered {
    /// This directive, without the scheduler's prefix.
    Directive(String),
    /// The dialect does it.
    ByCode,
    /// Nothing needs saying.
    Nothing,
    /// It cannot be said, for this reason: a warning, or an error when strict.
    Cannot(String),
}

impl OptionDef {
    /// Reads a text as a value of this option.
    ///
    /// # Errors
    /// Names the option, the text, what is accepted and the nearest good spelling.
    pub fn value(&self, text: &str) -> Result<Value, OptionError> {
        self.kind.read(text).map_err(|mismatch| OptionError::Value {
            option: self.name.clone(),
            value: shown(text),
            expected: mismatch.expected,
            nearest: mismatch.nearest,
        })
    }

    /// How this scheduler is told.
    pub fn spelling(&self, scheduler: SchedulerKind) -> &Spelling {
        scheduler.place().map_or(&Spelling::ByCode, |place| &self.spellings[place])
    }

    /// The value for this scheduler.
    ///
    /// # Errors
    /// A percentage that was not made a number, or a value that no directive can carry.
    pub fn render(&self, scheduler: SchedulerKind, value: &Value) -> Result<Rendered, RenderError> {
        Ok(match self.spelling(scheduler) {
            // What was not asked for is no loss.
            Spelling::Cannot(_) if self.default.as_ref() == Some(value) => Rendered::Nothing,
            Spelling::Cannot(reason) => Rendered::Cannot(reason.clone()),
            Spelling::ByCode => Rendered::ByCode,
            Spelling::Template { .. } if *value == Value::Bool(false) => Rendered::Nothing,
            Spelling::Template { template, join } => match template.render(value, join)? {
                Some(directive) => Rendered::Directive(directive),
                None => {
                    Rendered::Cannot(format!("{scheduler} has no word for `{value}`: nothing is asked for"))
                }
            },
        })
    }
}
