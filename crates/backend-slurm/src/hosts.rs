//! Lists of hosts as Slurm folds them: `node[1-3,5],gpu[01-04]-[a]x`.
//!
//! [`HostList`] keeps the text and unfolds one name at a time, so that a list of a million hosts costs
//! nothing until somebody asks for it.

use cluster_core::dialect::{DialectError, HostCores};
use nom::branch::alt;
use nom::bytes::complete::take_while1;
use nom::character::complete::char;
use nom::combinator::{map, opt, verify};
use nom::multi::{many1, separated_list1};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

/// The most hosts that are unfolded; no cluster has as many.
pub const MAX_HOSTS: u64 = 1_000_000;

/// A folded list of hosts, read but not unfolded.
///
/// ```
/// use cluster_backend_slurm::HostList;
/// let list = HostList::parse("node[1-3,5],gpu[01-02]")?;
/// assert_eq!(list.len(), 6);
/// assert_eq!(list.iter().collect::<Vec<_>>(), ["node1", "node2", "node3", "node5", "gpu01", "gpu02"]);
/// assert_eq!(list.to_string(), "node[1-3,5],gpu[01-02]");
/// # Ok::<(), cluster_core::dialect::DialectError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostList<'a> {
    names: Vec<Name<'a>>,
    len: u64,
}

/// One name of the list, with its brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name<'a> {
    parts: Vec<Part<'a>>,
    len: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    /// What stands between brackets, and how many names it makes.
    Choice(Vec<Item<'a>>, u64),
}

/// One item between brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Item<'a> {
    Text(&'a str),
    /// From, to, and the width to which numbers are filled with zeros; 0: not filled.
    Range(u64, u64, usize),
}

impl Item<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Text(_) => 1,
            Self::Range(from, to, _) => (to - from).saturating_add(1),
        }
    }
}

impl<'a> HostList<'a> {
    /// Reads a list; the empty text is the empty list.
    ///
    /// # Errors
    /// Where the text is no list of hosts, or names more than [`MAX_HOSTS`].
    pub fn parse(text: &'a str) -> Result<Self, DialectError> {
        if text.is_empty() {
            return Ok(Self { names: Vec::new(), len: 0 });
        }
        let wrong = |rest: &str, expected: &str| {
            DialectError::syntax(
                "host list",
                text.as_bytes(),
                text.len().saturating_sub(rest.len()),
                expected,
            )
        };
        let (rest, names) = separated_list1(char(','), name)
            .parse(text)
            .map_err(|_| wrong(text, "a list of hosts like node[1-3,5]"))?;
        if !rest.is_empty() {
            return Err(wrong(rest, "a comma or the end of a list of hosts"));
        }
        let len = names.iter().fold(0u64, |sum, name| sum.saturating_add(name.len));
        if len > MAX_HOSTS {
            return Err(wrong(text, "a list of at most 1,000,000 hosts"));
        }
        Ok(Self { names, len })
    }

    /// How many hosts there are, counted without unfolding.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The hosts in the order of the text, unfolded one by one.
    pub fn iter(&self) -> impl Iterator<Item = String> + '_ {
        self.names.iter().flat_map(|name| (0..name.len).map(|at| name.at(at)))
    }
}

impl std::fmt::Display for HostList<'_> {
    /// The list as it was folded.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, name) in self.names.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { "," })?;
            for part in &name.parts {
                let items = match part {
                    Part::Text(text) => {
                        f.write_str(text)?;
                        continue;
                    }
                    Part::Choice(items, _) => items,
                };
                for (j, item) in items.iter().enumerate() {
                    f.write_str(if j == 0 { "[" } else { "," })?;
                    match item {
                        Item::Text(text) => f.write_str(text)?,
                        Item::Range(from, to, width) => write!(f, "{from:0width$}-{to:0width$}")?,
                    }
                }
                f.write_str("]")?;
            }
        }
        Ok(())
    }
}

impl Name<'_> {
    /// The name of this number; the last brackets count fastest.
    fn at(&self, mut at: u64) -> String {
        let mut steps: Vec<u64> = Vec::with_capacity(self.parts.len());
        for part in self.parts.iter().rev() {
            let len = if let Part::Choice(_, len) = part { *len } else { 1 };
            steps.push(at % len.max(1));
            at /= len.max(1);
        }
        let mut name = String::new();
        for (part, step) in self.parts.iter().zip(steps.into_iter().rev()) {
            match part {
                Part::Text(text) => name.push_str(text),
                Part::Choice(items, _) => push_choice(&mut name, items, step),
            }
        }
        name
    }
}

fn push_choice(name: &mut String, items: &[Item<'_>], mut at: u64) {
    use std::fmt::Write;
    for item in items {
        if at >= item.len() {
            at -= item.len();
            continue;
        }
        match item {
            Item::Text(text) => name.push_str(text),
            Item::Range(from, _, width) => {
                let _ = write!(name, "{:0width$}", from.saturating_add(at));
            }
        }
        return;
    }
}

fn name(text: &str) -> IResult<&str, Name<'_>> {
    let part = alt((map(take_while1(|c: char| is_name(c)), Part::Text), brackets));
    verify(
        map(many1(part), |parts| {
            let len = parts.iter().fold(1u64, |product, part| {
                product.saturating_mul(if let Part::Choice(_, len) = part { *len } else { 1 })
            });
            Name { parts, len }
        }),
        |name: &Name<'_>| name.parts.len() <= 64,
    )
    .parse(text)
}

fn brackets(text: &str) -> IResult<&str, Part<'_>> {
    map(delimited(char('['), separated_list1(char(','), item), char(']')), |items| {
        let len = items.iter().fold(0u64, |sum, item| sum.saturating_add(item.len()));
        Part::Choice(items, len)
    })
    .parse(text)
}

fn item(text: &str) -> IResult<&str, Item<'_>> {
    let range = map(
        verify((number, opt(preceded(char('-'), number))), |((from, _), to)| {
            to.is_none_or(|(to, _)| *from <= to)
        }),
        |((from, digits), to)| match to {
            Some((to, _)) => Item::Range(
                from,
                to,
                if digits.starts_with('0') && digits.len() > 1 { digits.len() } else { 0 },
            ),
            None => Item::Text(digits),
        },
    );
    let word = map(take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_'), Item::Text);
    // A number is only one where nothing of a word follows it: `[3a]`.
    let (rest, found) = alt((verify(range, |_| true), word)).parse(text)?;
    if rest.starts_with([',', ']']) {
        Ok((rest, found))
    } else {
        map(take_while1(|c: char| c.is_ascii_alphanumeric() || c == '_'), Item::Text).parse(text)
    }
}

/// A number with its digits, for the zeros in front.
fn number(text: &str) -> IResult<&str, (u64, &str)> {
    let (rest, digits) = take_while1(|c: char| c.is_ascii_digit()).parse(text)?;
    match digits.parse() {
        Ok(n) if digits.len() <= 18 => Ok((rest, (n, digits))),
        _ => Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Digit))),
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.+:".contains(c)
}

/// Hosts with their cores as one text: `node[1-2]*2,node5*4`. squeue and sacct never say how many cores a job
/// has where; the details of `scontrol -d` and of `squeue --json` do.
pub(crate) fn with_cores<H: AsRef<str>>(groups: &[(H, u32)]) -> String {
    let groups: Vec<String> =
        groups.iter().map(|(hosts, cores)| format!("{}*{cores}", hosts.as_ref())).collect();
    groups.join(",")
}

/// The hosts of a row, with their cores where [`with_cores`] wrote them.
pub(crate) fn hosts(folded: &str) -> Result<Vec<HostCores>, DialectError> {
    if crate::lexeme::is_unset(folded.as_bytes()) {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut rest = folded;
    // Each star ends a group; what is left has no cores.
    while let Some((hosts, after)) = rest.split_once('*') {
        let (cores, next) = after.split_once(',').unwrap_or((after, ""));
        let cores = cores.parse().map_err(|_| {
            let at = folded.len() - after.len();
            DialectError::syntax("host list", folded.as_bytes(), at, "a number of cores after *")
        })?;
        unfold(hosts, Some(cores), &mut found)?;
        rest = next;
    }
    unfold(rest, None, &mut found)?;
    Ok(found)
}

fn unfold(text: &str, cores: Option<u32>, into: &mut Vec<HostCores>) -> Result<(), DialectError> {
    let list = HostList::parse(text)?;
    if list.len().saturating_add(into.len() as u64) > MAX_HOSTS {
        return Err(DialectError::syntax("host list", text.as_bytes(), 0, "at most 1,000,000 hosts"));
    }
    into.extend(list.iter().map(|host| HostCores { host, cores }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unfold(text: &str) -> Vec<String> {
        HostList::parse(text).unwrap().iter().collect()
    }

    #[test]
    fn lists_unfold_with_their_last_host_and_their_zeros() {
        assert_eq!(unfold("node1"), ["node1"]);
        assert_eq!(unfold("node[1-3,5]"), ["node1", "node2", "node3", "node5"]);
        assert_eq!(unfold("gpu[01-04]-[a]x"), ["gpu01-ax", "gpu02-ax", "gpu03-ax", "gpu04-ax"]);
        assert_eq!(unfold("r[1-2]n[08-10]"), ["r1n08", "r1n09", "r1n10", "r2n08", "r2n09", "r2n10"]);
        assert_eq!(unfold("a,b[098-101],c-d.e"), ["a", "b098", "b099", "b100", "b101", "c-d.e"]);
        assert_eq!(unfold("n[007,9,3a]"), ["n007", "n9", "n3a"]);
        assert_eq!(unfold("[1-2]x"), ["1x", "2x"]);
        assert!(HostList::parse("").unwrap().is_empty());
    }

    #[test]
    fn cores_stand_after_their_hosts() {
        let text = with_cores(&[("node[1-2]", 2), ("gpu1,gpu2", 4)]);
        let of = |host: &str, cores| HostCores { host: host.to_owned(), cores };
        let two = [of("node1", Some(2)), of("node2", Some(2)), of("gpu1", Some(4)), of("gpu2", Some(4))];
        assert_eq!(hosts(&text).unwrap(), two);
        assert_eq!(hosts("a,b").unwrap(), [of("a", None), of("b", None)]);
        assert_eq!(hosts("").unwrap(), []);
        assert_eq!(hosts("None assigned").unwrap(), []);
        assert!(hosts("a*x").is_err() && hosts("a[").is_err());
    }

    #[test]
    fn what_is_no_list_says_where() {
        for (text, column) in
            [("node[1-3", 1), ("node[3-1]", 1), ("a,,b", 2), ("a b", 2), ("node[]", 1), ("None assigned", 5)]
        {
            match HostList::parse(text) {
                Err(DialectError::Syntax { column: at, .. }) => assert!(at >= column, "{text}: {at}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for huge in ["n[0-9999999]", "n[1-999][1-999][1-999]", "n[0-999999999999999999]"] {
            assert!(HostList::parse(huge).is_err(), "{huge}");
        }
        assert_eq!(HostList::parse("n[1-1000000]").unwrap().len(), 1_000_000);
    }

    proptest! {
        #[test]
        fn a_printed_list_reads_back(text in "[a-z]{1,4}(\\[[1-9]-9[0-9]\\])?[a-z]?(,[a-z]{1,3}\\[0[0-9]{2}-2[0-9]{2},7\\])?") {
            let list = HostList::parse(&text).unwrap();
            prop_assert_eq!(list.to_string(), text.clone());
            prop_assert_eq!(list.iter().count() as u64, list.len());
        }

        #[test]
        fn nothing_panics(text in "[a-z0-9\\[\\],-]{0,40}") {
            if let Ok(list) = HostList::parse(&text) {
                prop_assert!(list.iter().take(1000).all(|host| !host.is_empty()));
            }
        }
    }
}
