//! What all formats are made of: entries (a job, a server, a queue, a node) with attributes.

use std::borrow::Cow;

use cluster_core::dialect::DialectError;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `Job Id: `.
    Job,
    /// `Server: `.
    Server,
    /// `Queue: `.
    Queue,
    /// A host of `pbsnodes`.
    Node,
}

/// What is asked for of a group of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    /// What [`Entries::wants`] says.
    All,
    /// The attribute of this name.
    Only(&'static [u8]),
    /// Nothing.
    Nothing,
}

/// Takes the entries of an output, one after the other. The formats differ in how they write attributes:
/// `Resource_List.walltime` arrives as the group `Resource_List` and the name `walltime`, with an empty group
/// where there is no dot.
pub(crate) trait Entries<'o> {
    /// An entry begins.
    fn begin(&mut self, kind: Kind, id: Cow<'o, str>);

    /// What of this group is asked for.
    fn wants_group(&self, _group: &[u8]) -> Wants {
        Wants::All
    }

    /// Whether this attribute is asked for; of others the value is not even unwrapped.
    fn wants(&self, group: &[u8], name: &[u8]) -> bool;

    /// An attribute of the entry that began last, as it was before it was wrapped or escaped.
    fn attribute(&mut self, group: &[u8], name: &[u8], value: Cow<'o, [u8]>);

    /// The entry is over; `text` is all of it, as it was printed.
    fn end(&mut self, text: &'o [u8]);

    /// The entry that began last, or the text before the first, cannot be read.
    fn broken(&mut self, error: impl FnOnce() -> DialectError);
}

/// `Resource_List.walltime` as group and name.
pub(crate) fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().position(|&b| b == b'.') {
        Some(dot) => (name.get(..dot).unwrap_or_default(), name.get(dot + 1..).unwrap_or_default()),
        None => (b"", name),
    }
}
