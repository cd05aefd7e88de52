//! How deeply the brackets of a YAML text are nested, found without a parser: the time libyaml takes grows with
//! the square of that depth, and a megabyte of `[` would keep it busy for minutes. Depth of indentation costs
//! it nothing and is limited by the reader.

/// The byte at which the text is for the first time nested deeper in brackets than `limit`.
///
/// Brackets in quotes, comments, plain texts and block texts are told apart as YAML does it. Where that is
/// uncertain (the text is no YAML) the answer does not matter: the parser stops there.
pub(crate) fn deeper_than(text: &str, limit: usize) -> Option<usize> {
    // Most texts have no such number of brackets at all.
    if text.bytes().filter(|b| matches!(b, b'[' | b'{')).count() <= limit {
        return None;
    }
    let mut scan = Scan::default();
    let mut start = 0;
    for line in text.split_inclusive(BREAKS) {
        if let Some(at) = scan.line(line.trim_end_matches(BREAKS), limit) {
            return Some(start + at);
        }
        start += line.len();
    }
    None
}

/// All that YAML takes for the end of a line: what one of them hides from us it would not hide from the parser.
const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

#[derive(Clone, Default)]
struct Scan {
    depth: usize,
    /// In a quoted text, by this quote.
    quote: Option<u8>,
    /// In a plain text, which may go on in the next line.
    plain: bool,
    /// In a block text (`|`, `>`) below a key or dash of this column.
    block: Option<usize>,
    /// The column of the last key or dash.
    owner: usize,
}

impl Scan {
    /// Takes one line; the byte at which the limit was passed.
    fn line(&mut self, line: &str, limit: usize) -> Option<usize> {
        let bytes = line.as_bytes();
        let indent = bytes.iter().take_while(|b| **b == b' ').count();
        let blank = line.trim().is_empty();
        if blank {
            return None;
        }
        if let Some(owner) = self.block {
            if indent > owner {
                return None;
            }
            self.block = None;
        }
        let mut at = indent;
        if line.starts_with("---") || line.starts_with("...") {
            *self = Self::default();
            at = 3;
        }
        if self.depth == 0 && self.quote.is_none() {
            // A plain text goes on in lines that are indented deeper than what it belongs to.
            self.plain &= indent > self.owner;
            if !self.plain {
                at = self.skip_indicators(bytes, at);
            }
        }
        while at < bytes.len() {
            at = self.token(bytes, at);
            if self.depth > limit {
                return Some(at - 1);
            }
        }
        None
    }

    /// Skips `- `, `? ` and `: ` at the beginning of a line and notes the column of what comes then.
    fn skip_indicators(&mut self, bytes: &[u8], mut at: usize) -> usize {
        self.owner = at;
        while matches!(bytes.get(at), Some(b'-' | b'?' | b':')) && ends_word(bytes.get(at + 1)) {
            self.owner = at;
            at += 1;
            while matches!(bytes.get(at), Some(b' ' | b'\t')) {
                at += 1;
            }
            if at < bytes.len() && bytes[at] != b'|' && bytes[at] != b'>' && bytes[at] != b'#' {
                self.owner = at;
            }
        }
        at
    }

    /// Takes the byte at `at`, or a few; returns where to go on.
    fn token(&mut self, bytes: &[u8], at: usize) -> usize {
        let byte = bytes[at];
        if let Some(quote) = self.quote {
            return self.quoted(bytes, at, quote);
        }
        match byte {
            b'#' if at == 0 || matches!(bytes[at - 1], b' ' | b'\t') => {
                self.plain = false;
                return bytes.len();
            }
            b' ' | b'\t' => {}
            b':' if ends_word(bytes.get(at + 1)) || self.depth > 0 && !self.plain => self.plain = false,
            b':' if self.depth > 0 && matches!(bytes.get(at + 1), Some(b',' | b'[' | b']' | b'{' | b'}')) => {
                self.plain = false;
            }
            b'[' | b'{' if self.depth > 0 || !self.plain => {
                self.depth += 1;
                self.plain = false;
            }
            b']' | b'}' if self.depth > 0 => {
                self.depth -= 1;
                self.plain = false;
            }
            b',' if self.depth > 0 => self.plain = false,
            _ if self.plain => {}
            b'"' | b'\'' => self.quote = Some(byte),
            // Anchors, aliases and tags: a word, and a new token may begin after it.
            b'&' | b'*' | b'!' => {
                let flow = self.depth > 0;
                let ends = |b: &u8| {
                    matches!(b, b' ' | b'\t') || flow && matches!(b, b',' | b'[' | b']' | b'{' | b'}')
                };
                return at + bytes[at..].iter().position(ends).unwrap_or(bytes.len() - at);
            }
            b'|' | b'>' if self.depth == 0 => {
                self.block = Some(self.owner);
                return bytes.len();
            }
            b'-' | b'?' if ends_word(bytes.get(at + 1)) => {}
            _ => self.plain = true,
        }
        at + 1
    }

    fn quoted(&mut self, bytes: &[u8], at: usize, quote: u8) -> usize {
        match bytes[at] {
            b'\\' if quote == b'"' => return at + 2,
            b'\'' if quote == b'\'' && bytes.get(at + 1) == Some(&b'\'') => return at + 2,
            byte if byte == quote => self.quote = None,
            _ => {}
        }
        at + 1
    }
}

fn ends_word(next: Option<&u8>) -> bool {
    matches!(next, None | Some(b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::Node;
    use crate::yaml::Document;

    #[test]
    fn brackets_count_only_where_they_nest() {
        for (text, deepest) in [
            ("a: [1, {b: [2]}]", 3),
            ("a: '[[['\nb: \"[[[\\\"[[\"", 0),
            ("# [[[\na: x[[[ y", 0),
            ("a: don't [[[", 0),
            ("a: |\n  [[[\n  '\nb: [x]", 1),
            ("- - a: >-\n      [[[\n    b: [[x]]", 2),
            ("a: foo\n  'bar [[\nb: [x]", 1),
            ("[ &x 'a]', *y , !t {b: c} ]", 2),
            ("{\"a\":[\"b]\", {\"c\":[]}]}", 4),
            ("a: 'x\n  y'\nb: [[1]]", 2),
            ("a: 1 # x\rb: [[1]]", 2),
            ("a: 1 # x\u{2028}b: [[1]]\r\n", 2),
        ] {
            assert_eq!(deepest_of(text), deepest, "{text}");
        }
    }

    fn deepest_of(text: &str) -> usize {
        let mut scan = Scan::default();
        let mut deepest = 0;
        for line in text.split(BREAKS) {
            for limit in deepest.. {
                let mut trial = scan.clone();
                if trial.line(line, limit).is_none() {
                    (scan, deepest) = (trial, limit);
                    break;
                }
            }
        }
        deepest
    }

    fn node_depth(node: &Node) -> usize {
        match node {
            Node::List(list) => 1 + list.iter().map(node_depth).max().unwrap_or(0),
            Node::Map(map) => 1 + map.values().map(node_depth).max().unwrap_or(0),
            _ => 0,
        }
    }

    /// A flow value with all that could deceive, and its depth.
    fn flows() -> impl Strategy<Value = (String, usize)> {
        let leaf = prop::sample::select(vec![
            "x",
            "don't",
            "']]'",
            "\"[\\\"[\"",
            "'it''s ['",
            "&q ']'",
            "!!str \"}\"",
            "a # ]]\n ",
            "'\n ] '",
            "a\n 'b",
            "-x",
            "a:b",
            "|",
        ]);
        leaf.prop_map(|leaf| (leaf.to_owned(), 0)).prop_recursive(5, 24, 4, |inner| {
            (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(items, map)| {
                let depth = items.iter().map(|(_, depth)| *depth).max().unwrap_or(0) + 1;
                let texts = items
                    .into_iter()
                    .enumerate()
                    .map(|(i, (text, _))| if map { format!("\"k{i}\": {text}") } else { text });
                let text = texts.collect::<Vec<_>>().join(" , ");
                (if map { format!("{{{text} }}") } else { format!("[ {text} ]") }, depth)
            })
        })
    }

    proptest! {
        #[test]
        fn exact_for_flow_values_below_a_key((flow, depth) in flows(), key in "(a: |- |b:\n  - c: |)") {
            let text = format!("{key}{flow}\nz: [x]");
            // Not every mixture is YAML; of those that are, the depth is known.
            if depth > 0 && Document::parse(text.replace("\nz: [x]", "").as_bytes()).is_ok() {
                prop_assert_eq!(deepest_of(&text), depth, "{}", text);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

        /// All that nests in these texts is brackets, at most one mapping around them.
        #[test]
        fn never_less_than_what_the_parser_finds(text in "(a: )?[\\[\\]{},'\"# xa:&*!\\n-]{0,40}") {
            if let Ok(doc) = Document::parse(text.as_bytes()) {
                let indented = text.lines().filter(|l| l.contains(": ") || l.contains('-') || l.ends_with(':')).count();
                prop_assert!(node_depth(doc.root()) <= deepest_of(&text) + 2 * indented, "{:?}", text);
            }
        }
    }
}
