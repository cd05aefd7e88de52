//! Reading the text of a catalogue.

use std::fmt;

use cluster_core::{MemSize, Walltime};
use indexmap::IndexMap;
use thiserror::Error;

use crate::catalogue::Catalogue;
use crate::nearest::{did_you_mean, nearest};
use crate::node::Node;
use crate::option_def::{OptionDef, Spelling};
use crate::option_type::OptionType;
use crate::scheduler_kind::SchedulerKind;
use crate::shown::shown;
use crate::template::Template;
use crate::value::Value;
use crate::yaml::{Document, Position, YamlError};

/// Why a text is no catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CatalogueError {
    /// It is no YAML.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// Its entries are wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Entries(Vec<EntryError>),
}

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryError {
    /// Where.
    pub position: Option<Position>,
    /// What.
    pub message: String,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = self.position {
            write!(f, "{position}: ")?;
        }
        f.write_str(&self.message)
    }
}

const KEYS: [&str; 18] = [
    "name", "synonyms", "type", "min", "max", "relative", "choices", "split", "default", "group", "help",
    "since", "slurm", "pbs", "torque", "sge", "local", "file",
];

/// A key of the entry and what is wrong with it.
type Wrong = (&'static str, String);

pub(crate) fn read(text: &[u8]) -> Result<Catalogue, CatalogueError> {
    let document = Document::parse(text)?;
    let mut errors = Vec::new();
    let mut options = Vec::new();
    let entries = document.root().as_list().unwrap_or_default();
    if document.root().as_list().is_none() && *document.root() != Node::Null {
        errors.push(EntryError { position: None, message: "a catalogue is a list of options".to_owned() });
    }
    for (index, entry) in entries.iter().enumerate() {
        let index = index.to_string();
        let Some(entry) = entry.as_map() else {
            let position = document.value_position(&[&index]);
            errors.push(EntryError { position, message: "an option is a mapping".to_owned() });
            continue;
        };
        for key in entry.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let position = document.key_position(&[&index, key]);
            let message = format!("unknown key `{}`{}", shown(key), did_you_mean(&nearest(key, KEYS)));
            errors.push(EntryError { position, message });
        }
        match Entry(entry).option() {
            Ok(option) => options.push(option),
            Err((key, message)) => {
                let position =
                    document.value_position(&[&index, key]).or_else(|| document.value_position(&[&index]));
                errors.push(EntryError { position, message: format!("`{key}`: {message}") });
            }
        }
    }
    if !errors.is_empty() {
        return Err(CatalogueError::Entries(errors));
    }
    Catalogue::new(options).map_err(|name| {
        let message = format!("the name `{}` is given to two options", shown(&name));
        CatalogueError::Entries(vec![EntryError { position: None, message }])
    })
}

struct Entry<'a>(&'a IndexMap<String, Node>);

impl Entry<'_> {
    fn option(&self) -> Result<OptionDef, Wrong> {
        let kind = self.kind()?;
        let default =
            self.optional("default", |text| kind.read(text).map_err(|m| format!("expected {}", m.expected)))?;
        let mut spellings = Vec::new();
        for scheduler in SchedulerKind::ALL {
            spellings.push(self.spelling(scheduler.as_str(), &kind)?);
        }
        let spellings =
            spellings.try_into().map_err(|_| ("name", "not every scheduler is spelled".to_owned()))?;
        Ok(OptionDef {
            name: self.name()?,
            synonyms: self.texts("synonyms")?.unwrap_or_default(),
            default,
            group: self.text("group")?,
            help: self.text("help")?,
            since: self.text("since")?,
            spellings,
            kind,
        })
    }

    fn name(&self) -> Result<String, Wrong> {
        let name = self.text("name")?;
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if good { Ok(name) } else { Err(("name", "a name is lower case letters, digits and `-`".to_owned())) }
    }

    fn kind(&self) -> Result<OptionType, Wrong> {
        let relative = match self.0.get("relative") {
            None => false,
            Some(node) => node.as_bool().ok_or(("relative", "expected true or false".to_owned()))?,
        };
        let number = |text: &str| text.parse::<i64>().map_err(|_| "expected a whole number".to_owned());
        let float = |text: &str| text.parse::<f64>().map_err(|_| "expected a number".to_owned());
        Ok(match self.text("type")?.as_str() {
            "bool" => OptionType::Bool,
            "int" => OptionType::Int {
                min: self.optional("min", number)?.unwrap_or(i64::MIN),
                max: self.optional("max", number)?.unwrap_or(i64::MAX),
                relative,
            },
            "float" => OptionType::Float {
                min: self.optional("min", float)?.unwrap_or(f64::NEG_INFINITY),
                max: self.optional("max", float)?.unwrap_or(f64::INFINITY),
            },
            "string" => OptionType::String,
            "list" => OptionType::List {
                split: self.optional("split", |text| Ok(text.to_owned()))?.unwrap_or_else(|| ",".to_owned()),
            },
            "time" => OptionType::Time {
                min: self
                    .optional("min", |text| text.parse().map_err(|e| format!("{e}")))?
                    .unwrap_or(Walltime::from_secs(0)),
            },
            "memory" => OptionType::Memory {
                min: self
                    .optional("min", |text| text.parse().map_err(|e| format!("{e}")))?
                    .unwrap_or(MemSize::from_mb(0)),
                relative,
            },
            "path" => OptionType::Path,
            "choice" => OptionType::Choice(
                self.texts("choices")?.ok_or(("choices", "a choice needs its words".to_owned()))?,
            ),
            "env" => OptionType::Env,
            other => {
                let types =
                    ["bool", "int", "float", "string", "list", "time", "memory", "path", "choice", "env"];
                let hint = did_you_mean(&nearest(other, types));
                return Err(("type", format!("expected one of {}{hint}", types.join(", "))));
            }
        })
    }

    fn spelling(&self, key: &'static str, kind: &OptionType) -> Result<Spelling, Wrong> {
        let wrong = |message: &str| (key, message.to_owned());
        let (text, join) = match self.0.get(key) {
            Some(Node::Text(text)) if text == "by code" => return Ok(Spelling::ByCode),
            Some(Node::Text(text)) => (text.as_str(), ","),
            Some(Node::Map(map)) => {
                let get = |name: &str| map.get(name).and_then(Node::as_text);
                match (get("cannot"), get("template"), get("join"), map.len()) {
                    (Some(reason), None, None, 1) => return Ok(Spelling::Cannot(reason.to_owned())),
                    (None, Some(template), None, 1) => (template, ","),
                    (None, Some(template), Some(join), 2) => (template, join),
                    _ => return Err(wrong("expected `cannot`, or `template` and perhaps `join`")),
                }
            }
            _ => return Err(wrong("expected a template, `by code`, or `cannot` with the reason")),
        };
        let template = Template::read(text).map_err(|message| (key, message))?;
        if template.takes_value() == (*kind == OptionType::Bool) {
            return Err(wrong("a template has a place for the value, but for a bool"));
        }
        // A form that does not fit the type is found here and not by a user.
        if let Some(sample) = sample(kind)
            && let Err(error) = template.render(&sample, join)
        {
            return Err((key, error.to_string()));
        }
        Ok(Spelling::Template { template, join: join.to_owned() })
    }

    fn text(&self, key: &'static str) -> Result<String, Wrong> {
        match self.0.get(key) {
            None => Err((key, "is missing".to_owned())),
            Some(node) => match node.as_text() {
                Some(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
                _ => Err((key, format!("expected text, found {}", node.kind()))),
            },
        }
    }

    fn texts(&self, key: &'static str) -> Result<Option<Vec<String>>, Wrong> {
        let Some(node) = self.0.get(key) else { return Ok(None) };
        let list = node.as_list().ok_or_else(|| (key, format!("expected a list, found {}", node.kind())))?;
        let texts: Option<Vec<String>> = list.iter().map(|item| item.as_text().map(str::to_owned)).collect();
        texts.map(Some).ok_or_else(|| (key, "expected a list of texts".to_owned()))
    }

    fn optional<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Wrong> {
        match self.0.get(key) {
            None | Some(Node::Null) => Ok(None),
            Some(node) => match node.as_text() {
                Some(text) => read(text).map(Some).map_err(|message| (key, message)),
                None => Err((key, format!("expected one value, found {}", node.kind()))),
            },
        }
    }
}

/// Some value of the type, to try templates with.
fn sample(kind: &OptionType) -> Option<Value> {
    let text = match kind {
        OptionType::Bool => "true",
        OptionType::Int { .. } | OptionType::Float { .. } => return Some(Value::Int(1)),
        OptionType::Time { .. } => return Some(Value::Time(Walltime::from_secs(1))),
        OptionType::Memory { .. } => return Some(Value::Memory(crate::MemAmount::Size(MemSize::from_mb(1)))),
        OptionType::Choice(words) => words.first()?,
        OptionType::Env => "all",
        OptionType::String | OptionType::List { .. } | OptionType::Path => "x",
    };
    kind.read(text).ok()
}
