//! Reading and checking configuration files, one by one and then together.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::config::error::{ConfigError, ConfigErrors};
use crate::config::key::{KEYS, Key, KeyKind};
use crate::config::settings::Config;
use crate::nearest::{did_you_mean, nearest};
use crate::node::Node;
use crate::scheduler_kind::SchedulerKind;
use crate::shown::shown;
use crate::yaml::{Document, MAX_BYTES, Position};

/// Finding a place means reading the file again; beyond so many mistakes nobody looks at the places.
const PLACES: usize = 50;

impl Config {
    /// Reads these files and lays each over those before it: leaf by leaf, null removes.
    ///
    /// # Errors
    /// All that is wrong with them, each with its file and, where possible, line and column.
    pub fn from_files<P: AsRef<Path>>(files: &[P]) -> Result<Self, ConfigErrors> {
        Self::from_files_with(files, &[])
    }

    /// The same where systems may have these schedulers too, beside those that this crate knows.
    ///
    /// # Errors
    /// As [`from_files`](Self::from_files).
    pub fn from_files_with<P: AsRef<Path>>(
        files: &[P],
        others: &[&'static str],
    ) -> Result<Self, ConfigErrors> {
        let mut errors = Vec::new();
        let mut documents: Vec<(PathBuf, Document)> = Vec::new();
        for file in files.iter().map(AsRef::as_ref) {
            match read(file) {
                Ok(document) => {
                    Checker { file, document: &document, others, errors: &mut errors }.check();
                    documents.push((file.to_owned(), document));
                }
                Err(error) => errors.push(error),
            }
        }
        let mut merged = Node::Map(indexmap::IndexMap::new());
        for (_, document) in documents.iter().filter(|(_, document)| *document.root() != Node::Null) {
            merged.merge(document.root());
        }
        if errors.is_empty() {
            check_together(&merged, &documents, others, &mut errors);
        }
        if errors.is_empty() { Ok(Self::from_checked(&merged, others)) } else { Err(ConfigErrors(errors)) }
    }
}

fn read(file: &Path) -> Result<Document, ConfigError> {
    let error = |position, message| ConfigError { file: file.to_owned(), position, message };
    let mut bytes = Vec::new();
    // One byte more than is read: a device or a huge file is found out without being taken in.
    File::open(file)
        .and_then(|open| open.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|e| error(None, format!("cannot be read: {e}")))?;
    Document::parse(&bytes).map_err(|e| error(e.position, e.cause.to_string()))
}

/// Checks one file.
pub(super) struct Checker<'a> {
    file: &'a Path,
    document: &'a Document,
    /// Schedulers beside those that we know.
    pub(super) others: &'a [&'static str],
    errors: &'a mut Vec<ConfigError>,
}

impl Checker<'_> {
    fn check(&mut self) {
        match self.document.root() {
            Node::Null => {}
            Node::Map(_) => self.section(&[], self.document.root()),
            other => self
                .wrong(&[], format!("a configuration file is a mapping of keys, this is {}", other.kind())),
        }
    }

    /// Checks the keys below `path`.
    fn section(&mut self, path: &[&str], node: &Node) {
        let Some(map) = node.as_map() else { return };
        let prefix = path.iter().map(|step| format!("{step}.")).collect::<String>();
        for (key, value) in map {
            let path: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
            let name = format!("{prefix}{key}");
            let below = format!("{name}.");
            // A dot inside of a key would look like a section here.
            let known = if key.contains('.') { None } else { KEYS.iter().find(|known| known.name == name) };
            match known {
                _ if *value == Node::Null && (known.is_some() || is_section(&below, key)) => {}
                Some(known) if known.kind == KeyKind::Systems => self.systems(known, &path, value),
                Some(known) if !known.kind.accepts(value) => self.wrong_value(known, &path, value),
                Some(_) => {}
                None if is_section(&below, key) => match value {
                    Node::Map(_) => self.section(&path, value),
                    other => self.wrong(&path, format!("`{name}` holds keys, this is {}", other.kind())),
                },
                None => self.unknown(&path, &prefix, &name),
            }
        }
    }

    fn unknown(&mut self, path: &[&str], prefix: &str, name: &str) {
        let position = self.position(|document| document.key_position(path));
        if KEYS.iter().any(|key| key.name == name) {
            return self.push(position, format!("`{name}` is written as keys in keys, not with a dot"));
        }
        // The last part of a key in the wrong section (`cores` for `local.cores`) is near too.
        let last = &name[prefix.len()..];
        let mut near: Vec<&str> =
            KEYS.iter().map(|key| key.name).filter(|known| known.rsplit('.').next() == Some(last)).collect();
        if near.is_empty() {
            let sections = KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(section, _)| section);
            near = nearest(name, KEYS.iter().map(|key| key.name).chain(sections));
        }
        let message = format!("unknown key `{}`{}", shown(name), did_you_mean(&near));
        self.push(position, message);
    }

    pub(super) fn wrong_value(&mut self, key: &Key, path: &[&str], value: &Node) {
        let found = match value.as_text() {
            Some(text) => format!("`{}`", shown(text)),
            None => value.kind().to_owned(),
        };
        let hint = match (key.kind, value.as_text()) {
            (KeyKind::Choice(words), Some(text)) => did_you_mean(&nearest(text, words.iter().copied())),
            _ => String::new(),
        };
        self.wrong(
            path,
            format!("`{}` does not take {found}: expected {}{hint}", key.name, key.kind.expected()),
        );
    }

    pub(super) fn wrong(&mut self, path: &[&str], message: String) {
        let position = self.position(|document| document.value_position(path));
        self.push(position, message);
    }

    pub(super) fn position(&self, find: impl Fn(&Document) -> Option<Position>) -> Option<Position> {
        if self.errors.len() < PLACES { find(self.document) } else { None }
    }

    pub(super) fn push(&mut self, position: Option<Position>, message: String) {
        self.errors.push(ConfigError { file: self.file.to_owned(), position, message });
    }
}

fn is_section(below: &str, key: &str) -> bool {
    !key.contains('.') && KEYS.iter().any(|known| known.name.starts_with(below))
}

/// What can be said only of all files together.
fn check_together(
    merged: &Node,
    documents: &[(PathBuf, Document)],
    others: &[&'static str],
    errors: &mut Vec<ConfigError>,
) {
    let mut wrong = |path: &[&str], message: String| {
        // The last file that says it is the one that counts.
        let said = documents.iter().rev().find(|(_, document)| document.root().get(path).is_some());
        let Some((file, document)) = said.or(documents.last()) else { return };
        errors.push(ConfigError { file: file.clone(), position: document.key_position(path), message });
    };
    let systems = merged.get(&["systems"]).and_then(Node::as_map);
    for (name, system) in systems.into_iter().flatten() {
        if name != "local" && system.get(&["scheduler"]).is_none() {
            let kinds = SchedulerKind::ALL.map(SchedulerKind::as_str).join(", ");
            wrong(&["systems", name], format!("system `{}` has no `scheduler`: one of {kinds}", shown(name)));
        }
    }
    if let Some(name) = merged.get(&["default_system"]).and_then(Node::as_text)
        // A scheduler that nobody configured is a system of its own name.
        && SchedulerKind::read(name, others).is_err()
        && !systems.is_some_and(|systems| systems.contains_key(name))
    {
        let bare = SchedulerKind::ALL.map(SchedulerKind::as_str);
        let names = systems.into_iter().flatten().map(|(name, _)| name.as_str()).chain(bare);
        let hint = did_you_mean(&nearest(name, names));
        wrong(&["default_system"], format!("`{}` is no system of `systems`{hint}", shown(name)));
    }
}
