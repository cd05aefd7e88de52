//! Reading a value with limits, through serde and apart from the library below it.

use std::cell::{Cell, RefCell};
use std::fmt;

use indexmap::IndexMap;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::node::Node;
use crate::yaml::MAX_DEPTH;
use crate::yaml::error::YamlErrorCause;

/// State of one reading: what may still be made, and the cause of our own errors (serde's carry text only).
pub(super) struct Reading {
    pub(super) budget: Cell<usize>,
    pub(super) cause: RefCell<Option<YamlErrorCause>>,
}

impl Reading {
    fn fail<E: serde::de::Error>(&self, cause: YamlErrorCause) -> E {
        let error = E::custom(&cause);
        *self.cause.borrow_mut() = Some(cause);
        error
    }

    fn spend<E: serde::de::Error>(&self, cost: usize) -> Result<(), E> {
        let left = self.budget.get().checked_sub(cost).ok_or_else(|| self.fail(YamlErrorCause::TooMuch))?;
        self.budget.set(left);
        Ok(())
    }
}

/// Reads a value.
pub(super) struct ReadNode<'a> {
    pub(super) reading: &'a Reading,
    pub(super) depth: usize,
}

impl ReadNode<'_> {
    fn inner<E: serde::de::Error>(&self) -> Result<ReadNode<'_>, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.reading.fail(YamlErrorCause::TooDeep));
        }
        Ok(ReadNode { reading: self.reading, depth: self.depth + 1 })
    }

    fn scalar<E: serde::de::Error>(
        &self,
        text: impl Into<String>,
        make: fn(String) -> Node,
    ) -> Result<Node, E> {
        let text = text.into();
        self.reading.spend(text.len() + 1)?;
        Ok(make(text))
    }
}

impl<'de> DeserializeSeed<'de> for ReadNode<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ReadNode<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Node, E> {
        self.reading.spend(1)?;
        Ok(Node::Null)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Node, E> {
        self.visit_unit()
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Node, E> {
        self.reading.spend(8)?;
        Ok(Node::Bool(value, String::new()))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node, E> {
        self.scalar(value.to_string(), Node::Number)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node, E> {
        self.scalar(value.to_string(), Node::Number)
    }

    fn visit_i128<E: serde::de::Error>(self, value: i128) -> Result<Node, E> {
        self.scalar(value.to_string(), Node::Number)
    }

    fn visit_u128<E: serde::de::Error>(self, value: u128) -> Result<Node, E> {
        self.scalar(value.to_string(), Node::Number)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node, E> {
        self.scalar(value.to_string(), Node::Number)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Node, E> {
        self.reading.spend(text.len() + 1)?;
        Ok(Node::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        self.reading.spend(1)?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self.inner()?)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        self.reading.spend(1)?;
        let mut map = IndexMap::new();
        while let Some(key) = entries.next_key_seed(ReadKey { reading: self.reading, seen: &map })? {
            let value = entries.next_value_seed(self.inner()?)?;
            map.insert(key, value);
        }
        Ok(Node::Map(map))
    }

    fn visit_enum<A: serde::de::EnumAccess<'de>>(self, _tagged: A) -> Result<Node, A::Error> {
        Err(self.reading.fail(YamlErrorCause::Tag))
    }
}

/// A key as it was written. Failing here, and not in the mapping, gives errors the key's own place.
struct ReadKey<'a> {
    reading: &'a Reading,
    seen: &'a IndexMap<String, Node>,
}

impl<'de> DeserializeSeed<'de> for ReadKey<'_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for ReadKey<'_> {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        *self.reading.cause.borrow_mut() = Some(YamlErrorCause::KeyNotText);
        f.write_str("plain text")
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<String, E> {
        self.reading.spend(key.len() + 1)?;
        if self.seen.contains_key(key) {
            return Err(self.reading.fail(YamlErrorCause::DuplicateKey(crate::shown::shown(key))));
        }
        Ok(key.to_owned())
    }
}
