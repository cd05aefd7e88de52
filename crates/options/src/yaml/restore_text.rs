//! The written text of numbers and truth values, which serde gives as numbers.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::node::Node;

/// Is there a number or truth value?
pub(super) fn has_scalars_to_restore(node: &Node) -> bool {
    match node {
        Node::Bool(..) | Node::Number(_) => true,
        Node::Null | Node::Text(_) => false,
        Node::List(list) => list.iter().any(has_scalars_to_restore),
        Node::Map(map) => map.values().any(has_scalars_to_restore),
    }
}

/// Puts the written text into numbers and truth values that were read before.
pub(super) struct RestoreText<'a>(pub(super) &'a mut Node);

impl<'de> DeserializeSeed<'de> for RestoreText<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        match self.0 {
            Node::Null | Node::Text(_) => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| ()),
            Node::Bool(..) | Node::Number(_) => deserializer.deserialize_str(self),
            Node::List(_) => deserializer.deserialize_seq(self),
            Node::Map(_) => deserializer.deserialize_map(self),
        }
    }
}

impl<'de> Visitor<'de> for RestoreText<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value read before")
    }

    fn visit_str<E: serde::de::Error>(self, written: &str) -> Result<(), E> {
        if let Node::Bool(_, text) | Node::Number(text) = self.0 {
            written.clone_into(text);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if let Node::List(list) = self.0 {
            for node in list {
                items.next_element_seed(RestoreText(node))?;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        if let Node::Map(map) = self.0 {
            for node in map.values_mut() {
                entries.next_key::<IgnoredAny>()?;
                entries.next_value_seed(RestoreText(node))?;
            }
        }
        Ok(())
    }
}
