//! The values of a YAML or JSON text, apart from the library that read them: [`Node`].

use indexmap::IndexMap;

/// One value. Numbers and truth values keep the text they were written with: where an option wants text,
/// `1.10` must not become `1.1`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Node {
    /// `null`, `~` or nothing; in a config file it removes the key.
    #[default]
    Null,
    /// `true` or `false`, with the text.
    Bool(bool, String),
    /// A number, with the text.
    Number(String),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in the author's order.
    Map(IndexMap<String, Node>),
}

impl Node {
    /// The text of a single value as it was written; `None` for null, lists and mappings.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Bool(_, text) | Self::Number(text) | Self::Text(text) => Some(text),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }

    /// The truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value, _) = self { Some(*value) } else { None }
    }

    /// The list.
    pub fn as_list(&self) -> Option<&[Node]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The mapping.
    pub fn as_map(&self) -> Option<&IndexMap<String, Node>> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The value at a path of keys; a step into a list is an index.
    pub fn get<S: AsRef<str>>(&self, path: &[S]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match node {
            Self::Map(map) => map.get(step.as_ref()),
            Self::List(list) => list.get(step.as_ref().parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// What kind of value this is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(..) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// Lays `over` onto this value, leaf by leaf: mappings are merged, all else is replaced, null removes.
    pub fn merge(&mut self, over: &Node) {
        match (self, over) {
            (Self::Map(map), Self::Map(over)) => {
                for (key, value) in over {
                    if *value == Self::Null {
                        map.shift_remove(key);
                    } else {
                        map.entry(key.clone()).or_default().merge(value);
                    }
                }
            }
            // Merged into an empty mapping and not cloned, so that nulls deeper in it vanish too.
            (this, Self::Map(_)) => {
                *this = Self::Map(IndexMap::new());
                this.merge(over);
            }
            (this, over) => *this = over.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::yaml::Document;

    fn node(text: &str) -> Node {
        Document::parse(text.as_bytes()).unwrap().root().clone()
    }

    #[test]
    fn leaves_replace_mappings_merge_and_null_removes() {
        let mut base = node("a: 1\nb: {c: [1, 2], d: x}\ne: {f: 1}");
        base.merge(&node("b: {c: [3], g: y, h: null}\na: null\ne: 5"));
        assert_eq!(base, node("b: {c: [3], d: x, g: y}\ne: 5"));
        base.merge(&node("e: {z: {y: null, x: 1}}"));
        assert_eq!(base, node("b: {c: [3], d: x, g: y}\ne: {z: {x: 1}}"));
    }

    fn nodes() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![Just(Node::Null), "[a-c]".prop_map(Node::Text)];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop::collection::vec(("[a-c]", inner), 0..4)
                .prop_map(|pairs| Node::Map(pairs.into_iter().collect()))
        })
    }

    proptest! {
        #[test]
        fn merging_the_same_again_changes_nothing(a in nodes(), b in nodes()) {
            let mut once = a.clone();
            once.merge(&b);
            let mut twice = once.clone();
            twice.merge(&b);
            prop_assert_eq!(once, twice);
        }
    }
}
