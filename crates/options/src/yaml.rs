//! YAML (and JSON, being YAML) texts as [`Document`]s. The one file that knows `serde_yaml`; nothing of that
//! library is in a public type.
//!
//! Size, nesting and what aliases blow a text up to are limited; a key given twice, a tag, a second document
//! or anything that is no UTF-8 is an error with line and column.

mod error;
mod locate;
mod read_node;
mod restore_text;

use std::cell::{Cell, RefCell};

use serde::de::DeserializeSeed as _;

pub use error::{Position, YamlError, YamlErrorCause};
use locate::Locate;
use read_node::{ReadNode, Reading};
use restore_text::{RestoreText, has_scalars_to_restore};

use crate::flow_depth;
use crate::node::Node;

/// Larger texts are refused.
pub const MAX_BYTES: usize = 1 << 20;
/// Deeper nesting is refused.
pub const MAX_DEPTH: usize = 64;
/// What a text may grow to when its aliases are followed: values, and bytes in them.
const MAX_EXPANDED: usize = 4 * MAX_BYTES;

/// A text that was read, with its value. It finds the place of any value again.
#[derive(Debug, Clone)]
pub struct Document {
    text: String,
    root: Node,
}

impl Document {
    /// Reads one document. An empty text is null.
    ///
    /// # Errors
    /// Whatever is wrong first, see [`YamlErrorCause`].
    ///
    /// ```
    /// use cluster_options::yaml::Document;
    /// let doc = Document::parse(b"local:\n  cores: 50%\n")?;
    /// assert_eq!(doc.root().get(&["local", "cores"]).and_then(|n| n.as_text()), Some("50%"));
    /// assert_eq!(doc.key_position(&["local", "cores"]).map(|p| p.line), Some(2));
    /// # Ok::<(), cluster_options::yaml::YamlError>(())
    /// ```
    pub fn parse(bytes: &[u8]) -> Result<Self, YamlError> {
        if bytes.len() > MAX_BYTES {
            return Err(YamlError { position: None, cause: YamlErrorCause::TooLarge(bytes.len()) });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = str::from_utf8(bytes).map_err(|e| YamlError {
            position: Some(place(bytes, e.valid_up_to())),
            cause: YamlErrorCause::NotUtf8,
        })?;
        if let Some(at) = text.find(|c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) {
            return Err(YamlError {
                position: Some(place(bytes, at)),
                cause: YamlErrorCause::ControlCharacter,
            });
        }
        if let Some(at) = flow_depth::deeper_than(text, MAX_DEPTH) {
            return Err(YamlError { position: Some(place(bytes, at)), cause: YamlErrorCause::TooDeep });
        }
        let reading = Reading { budget: Cell::new(MAX_EXPANDED), cause: RefCell::new(None) };
        let read =
            ReadNode { reading: &reading, depth: 0 }.deserialize(serde_yaml::Deserializer::from_str(text));
        let mut root = read.map_err(|e| yaml_error(text, &e, reading.cause.take()))?;
        // Numbers were read as numbers; their own text takes a second reading, guided by the first.
        if has_scalars_to_restore(&root) {
            RestoreText(&mut root)
                .deserialize(serde_yaml::Deserializer::from_str(text))
                .map_err(|e| yaml_error(text, &e, None))?;
        }
        Ok(Self { text: text.to_owned(), root })
    }

    /// Its value.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// Where the last key of this path stands (for an index of a list: its value).
    pub fn key_position<S: AsRef<str>>(&self, path: &[S]) -> Option<Position> {
        self.find(path, true)
    }

    /// Where the value at this path begins.
    pub fn value_position<S: AsRef<str>>(&self, path: &[S]) -> Option<Position> {
        self.find(path, false)
    }

    /// serde tells places in errors only: the text is read once more by a visitor that fails on purpose at
    /// the path. That costs a reading for each error shown and nothing for a good file.
    fn find<S: AsRef<str>>(&self, path: &[S], key: bool) -> Option<Position> {
        let path: Vec<&str> = path.iter().map(AsRef::as_ref).collect();
        let error =
            Locate { path: &path, key }.deserialize(serde_yaml::Deserializer::from_str(&self.text)).err()?;
        position(&error)
    }
}

/// The line and column of a byte; what is before it is UTF-8.
fn place(bytes: &[u8], at: usize) -> Position {
    let before = &bytes[..at];
    let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
    Position { line, column }
}

fn position(error: &serde_yaml::Error) -> Option<Position> {
    error.location().map(|l| Position { line: l.line(), column: l.column() })
}

fn yaml_error(text: &str, error: &serde_yaml::Error, own: Option<YamlErrorCause>) -> YamlError {
    let position = position(error);
    let cause = own.unwrap_or_else(|| {
        let mut message = error.to_string();
        if message.starts_with("recursion limit") {
            return YamlErrorCause::TooDeep;
        }
        if message.starts_with("repetition limit") {
            return YamlErrorCause::TooMuch;
        }
        if message.contains("more than one document") {
            return YamlErrorCause::Syntax("a second document (`---`): one is read".to_owned());
        }
        // The place is a field of its own; a second place in the message ("…, while parsing …") stays.
        if let Some(p) = position {
            message = message.replacen(&format!(" at line {} column {}", p.line, p.column), "", 1);
        }
        let at = position.and_then(|p| text.lines().nth(p.line - 1)?.chars().nth(p.column - 1));
        if at == Some('\t') {
            message = "a tab: YAML indents with spaces".to_owned();
        }
        YamlErrorCause::Syntax(message)
    });
    YamlError { position, cause }
}
