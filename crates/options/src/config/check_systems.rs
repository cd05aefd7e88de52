//! Checking what a file says of systems, their options and their partitions.

use crate::catalogue::Catalogue;
use crate::config::key::{Key, KeyKind};
use crate::config::load::Checker;
use crate::config::system::{PARTITION_KEYS, SYSTEM_KEYS, option_text};
use crate::nearest::{did_you_mean, nearest};
use crate::node::Node;
use crate::scheduler_kind::SchedulerKind;
use crate::shown::shown;

impl Checker<'_> {
    pub(super) fn systems(&mut self, key: &Key, path: &[&str], value: &Node) {
        let Some(systems) = value.as_map() else { return self.wrong_value(key, path, value) };
        for (name, system) in systems {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if name.trim().is_empty() || name.chars().any(char::is_control) {
                self.wrong(&path, "the name of a system is text without control characters".to_owned());
            }
            if ["cluster", "file"].contains(&name.as_str()) {
                self.wrong(&path, format!("`{name}` is a word of `--system`: call the system otherwise"));
            }
            match system {
                Node::Null => {}
                Node::Map(_) => self.fields("a key of a system", SYSTEM_KEYS, &path, system),
                other => {
                    let message = format!("system `{}` holds keys, this is {}", shown(name), other.kind());
                    self.wrong(&path, message);
                }
            }
        }
    }

    /// Checks a mapping whose keys are those of a table.
    fn fields(&mut self, what: &str, keys: &[Key], path: &[&str], node: &Node) {
        for (name, value) in node.as_map().into_iter().flatten() {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let Some(key) = keys.iter().find(|key| key.name == name) else {
                let near = nearest(name, keys.iter().map(|key| key.name));
                let position = self.position(|document| document.key_position(&path));
                self.push(position, format!("`{}` is not {what}{}", shown(name), did_you_mean(&near)));
                continue;
            };
            if *value == Node::Null {
                continue;
            }
            match key.kind {
                _ if key.name == "scheduler" => self.scheduler(&path, value),
                KeyKind::Options => self.options(key, &path, value),
                KeyKind::Paths => self.paths(key, &path, value),
                KeyKind::Variables => self.variables(key, &path, value),
                KeyKind::Partitions => self.partitions(key, &path, value),
                kind if !kind.accepts(value) => self.wrong_value(key, &path, value),
                _ => {}
            }
        }
    }

    fn scheduler(&mut self, path: &[&str], value: &Node) {
        let text = value.as_text().unwrap_or(value.kind());
        match SchedulerKind::read(text, self.others) {
            Ok(kind) if path.contains(&"local") && kind != SchedulerKind::Local => {
                self.wrong(path, "the system `local` is this machine: its scheduler is `local`".to_owned());
            }
            Ok(_) => {}
            Err(error) => {
                let known = SchedulerKind::ALL.map(SchedulerKind::as_str);
                let near = nearest(text, known.into_iter().chain(self.others.iter().copied()));
                self.wrong(path, format!("{error}{}", did_you_mean(&near)));
            }
        }
    }

    fn options(&mut self, key: &Key, path: &[&str], value: &Node) {
        let Some(options) = value.as_map() else { return self.wrong_value(key, path, value) };
        for (name, value) in options.iter().filter(|(_, value)| **value != Node::Null) {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let Some(text) = option_text(name, value) else {
                let message = format!("option `{}` does not take {}", shown(name), value.kind());
                self.wrong(&path, message);
                continue;
            };
            if let Err(error) = Catalogue::builtin().check(name, &text) {
                self.wrong(&path, error.to_string());
            }
        }
    }

    fn paths(&mut self, key: &Key, path: &[&str], value: &Node) {
        let Some(paths) = value.as_map() else { return self.wrong_value(key, path, value) };
        for (name, value) in paths.iter().filter(|(_, value)| **value != Node::Null) {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if name.is_empty() || name.contains('/') {
                self.wrong(&path, format!("`{}` is not the plain name of a command", shown(name)));
            }
            if !KeyKind::Path.accepts(value) {
                let found = value.as_text().unwrap_or(value.kind());
                let expected = KeyKind::Path.expected();
                self.wrong(
                    &path,
                    format!("the path of `{}` is {expected}, not `{}`", shown(name), shown(found)),
                );
            }
        }
    }

    fn variables(&mut self, key: &Key, path: &[&str], value: &Node) {
        let Some(variables) = value.as_map() else { return self.wrong_value(key, path, value) };
        for (name, value) in variables.iter().filter(|(_, value)| **value != Node::Null) {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if name.is_empty() || !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
                self.wrong(&path, format!("`{}` is not the name of a variable", shown(name)));
            }
            if value.as_text().is_none_or(|text| text.contains('\0')) {
                let found = value.as_text().map_or(value.kind(), |_| "one with a NUL");
                self.wrong(&path, format!("the value of `{}` is a text, not {found}", shown(name)));
            }
        }
    }

    fn partitions(&mut self, key: &Key, path: &[&str], value: &Node) {
        let Some(partitions) = value.as_map() else { return self.wrong_value(key, path, value) };
        for (name, limits) in partitions {
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            match limits {
                Node::Null => {}
                Node::Map(_) => self.fields("a limit of a partition", PARTITION_KEYS, &path, limits),
                other => {
                    let message =
                        format!("partition `{}` holds limits, this is {}", shown(name), other.kind());
                    self.wrong(&path, message);
                }
            }
        }
    }
}
