//! Command words with placeholders: `{}` `{.}` `{/}` `{//}` `{/.}` `{#}` `{1}` `{2.}` `{name}`.
//!
//! A brace group that is none of these stays as it is, so that `awk '{print $1}'` needs no escape.

mod shell_text;

pub use shell_text::{ShellTextError, shell_text};

use crate::bytestring::ByteString;
use crate::ids::JobIndex;
use crate::inputs::InputPlan;

/// What is done to an input before it goes in; the suffix of the placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transform {
    /// `{}`: as it is.
    Whole,
    /// `{.}`: without its extension.
    NoExtension,
    /// `{/}`: its base name.
    BaseName,
    /// `{//}`: its directory.
    Directory,
    /// `{/.}`: its base name without the extension.
    BaseNoExtension,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Vec<u8>),
    /// `{#}`: the job's number from 1.
    Number,
    /// An input: all of its columns, or one.
    Input(Option<usize>, Transform),
}

/// One input: its columns.
pub type Record = Vec<ByteString>;

/// The words of a command in which inputs are to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    words: Vec<Vec<Part>>,
}

impl Template {
    /// Reads `words`; `columns` are the names of the inputs' columns, empty ones without a name. Where
    /// no word has a placeholder for an input and the plan says so, the input becomes the last word; the
    /// plan's literal words are not looked into.
    ///
    /// ```
    /// use cluster_core::{ByteString, inputs::InputPlan, template::Template};
    /// let plan = InputPlan { sources: vec![], per_job: 1, append: true, literal: 0 };
    /// let words = ["gzip", "-c", "{}", "{/.}.gz"].map(ByteString::from);
    /// let job = Template::parse(&words, &[""], &plan).render(0, &[vec!["dir/a.txt".into()]]);
    /// assert_eq!(job, ["gzip", "-c", "dir/a.txt", "a.gz"].map(ByteString::from));
    /// ```
    pub fn parse<S: AsRef<str>>(words: &[ByteString], columns: &[S], plan: &InputPlan) -> Self {
        let (literal, words) = words.split_at((plan.literal as usize).min(words.len()));
        let literal = literal.iter().map(|word| vec![Part::Literal(word.0.clone())]);
        let mut words: Vec<_> =
            literal.chain(words.iter().map(|word| parse_word(&word.0, columns))).collect();
        if plan.append && !words.iter().flatten().any(|part| matches!(part, Part::Input(..))) {
            words.push(vec![Part::Input(None, Transform::Whole)]);
        }
        Self { words }
    }

    /// The words of the job at `index`, whose inputs are `inputs`: a word with an input in it comes once
    /// for each of them, and `{}` alone gives each column as a word.
    pub fn render(&self, index: JobIndex, inputs: &[Record]) -> Vec<ByteString> {
        let mut words = Vec::with_capacity(self.words.len());
        for word in &self.words {
            if let [Part::Input(None, Transform::Whole)] = word[..] {
                words.extend(inputs.iter().flatten().cloned());
            } else if word.iter().any(|part| matches!(part, Part::Input(..))) {
                words.extend(inputs.iter().map(|input| render_word(word, index, input)));
            } else {
                words.push(render_word(word, index, &[]));
            }
        }
        words
    }
}

fn render_word(word: &[Part], index: JobIndex, input: &[ByteString]) -> ByteString {
    let mut text = Vec::new();
    for part in word {
        match part {
            Part::Literal(literal) => text.extend_from_slice(literal),
            Part::Number => text.extend_from_slice((u64::from(index) + 1).to_string().as_bytes()),
            Part::Input(Some(column), transform) => {
                text.extend_from_slice(input.get(*column).map_or(b"", |value| apply(&value.0, *transform)));
            }
            Part::Input(None, transform) => {
                for (i, value) in input.iter().enumerate() {
                    if i > 0 {
                        text.push(b' ');
                    }
                    text.extend_from_slice(apply(&value.0, *transform));
                }
            }
        }
    }
    ByteString(text)
}

fn apply(value: &[u8], transform: Transform) -> &[u8] {
    let slash = value.iter().rposition(|&b| b == b'/');
    let base_at = slash.map_or(0, |slash| slash + 1);
    // A leading dot names a hidden file, it begins no extension.
    let dot =
        value[base_at..].iter().rposition(|&b| b == b'.').filter(|&dot| dot > 0).map(|dot| base_at + dot);
    match transform {
        Transform::Whole => value,
        Transform::NoExtension => &value[..dot.unwrap_or(value.len())],
        Transform::BaseName => &value[base_at..],
        Transform::BaseNoExtension => &value[base_at..dot.unwrap_or(value.len())],
        Transform::Directory => match slash {
            None => b".",
            Some(0) => b"/",
            Some(slash) => &value[..slash],
        },
    }
}

fn parse_word<S: AsRef<str>>(word: &[u8], columns: &[S]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut literal = Vec::new();
    let mut rest = word;
    while let Some(&byte) = rest.first() {
        let close = rest.iter().position(|&b| b == b'}');
        let part = match close {
            Some(close) if byte == b'{' => {
                placeholder(&rest[1..close], columns).map(|part| (part, close + 1))
            }
            _ => None,
        };
        match part {
            Some((part, length)) => {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
                rest = &rest[length..];
            }
            None => {
                literal.push(byte);
                rest = &rest[1..];
            }
        }
    }
    if !literal.is_empty() || parts.is_empty() {
        parts.push(Part::Literal(literal));
    }
    parts
}

fn placeholder<S: AsRef<str>>(inside: &[u8], columns: &[S]) -> Option<Part> {
    let inside = std::str::from_utf8(inside).ok()?;
    if inside == "#" {
        return Some(Part::Number);
    }
    let forms = [
        ("/.", Transform::BaseNoExtension),
        ("//", Transform::Directory),
        ("/", Transform::BaseName),
        (".", Transform::NoExtension),
        ("", Transform::Whole),
    ];
    forms.into_iter().find_map(|(suffix, transform)| {
        let name = inside.strip_suffix(suffix)?;
        let column = match name {
            "" => None,
            _ => Some(column(name, columns)?),
        };
        Some(Part::Input(column, transform))
    })
}

fn column<S: AsRef<str>>(name: &str, columns: &[S]) -> Option<usize> {
    let numbered = || crate::ids::digits(name).filter(|n| (1..=columns.len() as u64).contains(n));
    columns
        .iter()
        .position(|column| column.as_ref() == name && !name.is_empty())
        .or_else(|| numbered().map(|n| n as usize - 1))
}

/// What looks like a placeholder in a word, or in a shell's text, and is none: a number beyond the columns, or, where
/// columns have names, a word that is none of them. What else stands in braces is the program's own (`{ print $1 }`),
/// and so are `${name}` and what repeats in a regular expression (`[0-9]{3}`). Where columns are not `numbered` by any
/// word of the command and there is but one, that also is a number behind a letter or a digit (`a{3}`).
///
/// ```
/// use cluster_core::template::unknown_placeholder;
/// assert_eq!(unknown_placeholder(b"{nme}: {1}", &["name"], true), Some("{nme}".to_owned()));
/// assert_eq!(unknown_placeholder(b"{1} {3.}", &["", ""], true), Some("{3.}".to_owned()));
/// assert_eq!(unknown_placeholder(b"{print $1} {nme}", &[""], false), None);
/// ```
pub fn unknown_placeholder<S: AsRef<str>>(text: &[u8], columns: &[S], numbered: bool) -> Option<String> {
    let may_repeat = !numbered && columns.len() == 1;
    let named = columns.iter().any(|column| !column.as_ref().is_empty());
    let is_word = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_alphanumeric() || "_-".contains(c))
    };
    for (before, inside) in braces(text) {
        let Ok(inside) = std::str::from_utf8(inside) else { continue };
        if before.ends_with(b"$") || placeholder(inside.as_bytes(), columns).is_some() {
            continue;
        }
        let name = inside.strip_suffix('.').unwrap_or(inside).trim_end_matches('/');
        let repeats = matches!(before, [.., b']' | b')' | b'.' | b'*'] | [.., b'\\', _])
            || (may_repeat && before.last().is_some_and(u8::is_ascii_alphanumeric));
        let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) && !repeats;
        if is_number || (named && !name.is_empty() && is_word(name)) {
            return Some(format!("{{{inside}}}"));
        }
    }
    None
}

/// Whether a text has a placeholder that names a column by its number.
///
/// ```
/// use cluster_core::template::has_number;
/// assert!(has_number(b"x{1.}", &[""]));
/// assert!(!has_number(b"{} a{3}", &[""]));
/// ```
pub fn has_number<S: AsRef<str>>(text: &[u8], columns: &[S]) -> bool {
    braces(text).any(|(before, inside)| {
        !before.ends_with(b"$")
            && inside.first().is_some_and(u8::is_ascii_digit)
            && matches!(placeholder(inside, columns), Some(Part::Input(Some(_), _)))
    })
}

/// A placeholder of a text by a name that several columns have, and their numbers from 1.
///
/// ```
/// use cluster_core::template::ambiguous_placeholder;
/// let columns = ["a", "b", "a"];
/// assert_eq!(ambiguous_placeholder(b"{b} {a.}", &columns), Some(("{a.}".to_owned(), vec![1, 3])));
/// assert_eq!(ambiguous_placeholder(b"{1} {b} ${a}", &columns), None);
/// ```
pub fn ambiguous_placeholder<S: AsRef<str>>(text: &[u8], columns: &[S]) -> Option<(String, Vec<usize>)> {
    braces(text).filter(|(before, _)| !before.ends_with(b"$")).find_map(|(_, inside)| {
        let Some(Part::Input(Some(first), _)) = placeholder(inside, columns) else { return None };
        let name = columns[first].as_ref();
        let named = !name.is_empty() && inside.starts_with(name.as_bytes());
        let same = (1..).zip(columns).filter(|(_, other)| other.as_ref() == name).map(|(number, _)| number);
        let same: Vec<usize> = same.collect();
        (named && same.len() > 1).then(|| (format!("{{{}}}", String::from_utf8_lossy(inside)), same))
    })
}

/// What stands in braces, each with all that is before it.
fn braces(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let opens = text.iter().enumerate().filter(|(_, byte)| **byte == b'{').map(|(at, _)| at);
    opens.map_while(|at| {
        let close = text[at..].iter().position(|&byte| byte == b'}')?;
        Some((&text[..at], &text[at + 1..at + close]))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(literal: u32) -> InputPlan {
        InputPlan { sources: Vec::new(), per_job: 1, append: true, literal }
    }

    #[test]
    fn literal_words_are_not_looked_into() {
        let words = ["sh", "-c", r#"echo "${1}" {}"#, "sh", "{}"].map(ByteString::from);
        let job = Template::parse(&words, &[""], &plan(4)).render(0, &[vec!["$(touch x)".into()]]);
        assert_eq!(job, ["sh", "-c", r#"echo "${1}" {}"#, "sh", "$(touch x)"].map(ByteString::from));
    }

    fn render(words: &[&str], columns: &[&str], inputs: &[&[&str]]) -> Vec<String> {
        let words: Vec<_> = words.iter().map(|&w| w.into()).collect();
        let inputs: Vec<Record> = inputs.iter().map(|r| r.iter().map(|&v| v.into()).collect()).collect();
        let words = Template::parse(&words, columns, &plan(0)).render(4, &inputs);
        words.iter().map(|w| w.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn each_form() {
        let words = ["{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "x{}y"];
        let expected = ["d/a.tar.gz", "d/a.tar", "a.tar.gz", "d", "a.tar", "5", "xd/a.tar.gzy"];
        assert_eq!(render(&words, &[""], &[&["d/a.tar.gz"]]), expected);
        assert_eq!(render(&["{.}", "{//}", "{/}"], &[""], &[&[".bashrc"]]), [".bashrc", ".", ".bashrc"]);
        assert_eq!(render(&["{//}"], &[""], &[&["/etc"]]), ["/"]);
    }

    #[test]
    fn without_a_placeholder_the_input_comes_last() {
        assert_eq!(
            render(&["echo", "{print $1}", "{#}"], &[""], &[&["a"]]),
            ["echo", "{print $1}", "5", "a"]
        );
    }

    #[test]
    fn columns_by_number_and_name() {
        let words = ["{2}-{1.}", "{sample/}", "{3}", "{}"];
        assert_eq!(
            render(&words, &["sample", ""], &[&["s/x.y", "b"]]),
            ["b-s/x", "x.y", "{3}", "s/x.y", "b"]
        );
    }

    #[test]
    fn several_inputs_repeat_the_word() {
        assert_eq!(render(&["cat", "-n", "f={}"], &[""], &[&["a"], &["b"]]), ["cat", "-n", "f=a", "f=b"]);
    }

    #[test]
    fn what_only_looks_like_a_placeholder_is_told() {
        let unknown = |text: &str, columns: &[&str]| unknown_placeholder(text.as_bytes(), columns, true);
        for text in ["{0}", "x{3}", "{2/.}", "{99999999999999999999}"] {
            assert!(unknown(text, &[""]).is_some(), "{text}");
        }
        for text in [
            "{}",
            "{1.}",
            "{#}",
            "{nme}",
            "{ print }",
            "{print $1}",
            "${3}",
            "[0-9]{3}",
            ".{2}",
            "{1..3}",
            "{",
        ] {
            assert_eq!(unknown(text, &[""]), None, "{text}");
        }
        assert_eq!(unknown("{{nme}", &["name"]).as_deref(), Some("{nme}"));
        assert_eq!(unknown("{nme/.}", &["name"]).as_deref(), Some("{nme/.}"));
        for text in ["{name}", "{name.}", "{1}", "{ print }", "${nme}", r#"{"a":1}"#, "{a,b}", "{}"] {
            assert_eq!(unknown(text, &["name"]), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(word in "[{}./#a1$'\"\\\\ ]{0,12}", value: Vec<u8>) {
            let template = Template::parse(&[word.as_str().into()], &["a"], &plan(0));
            template.render(0, &[vec![ByteString(value)]]);
            let _ = shell_text(word.as_bytes(), &["a"], false);
            let _ = shell_text(word.as_bytes(), &["a"], true);
            let _ = unknown_placeholder(word.as_bytes(), &["a"], false);
            let _ = has_number(word.as_bytes(), &["a"]);
        }
    }
}
