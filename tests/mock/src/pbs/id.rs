//! Ids of jobs: `12`, `12[]`, `12[3]`, `12[1-3]`, each with or without `.server`.

/// Which of an array is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// No brackets: a job that is no array.
    Plain,
    /// `[]`: the parent.
    Parent,
    /// `[3]`: one subjob.
    One(u32),
    /// `[1-3]` or `[1-9:2]`: several (OpenPBS).
    Some(Vec<u32>, String),
}

/// An id as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) number: u64,
    pub(crate) part: Part,
}

impl Id {
    /// Reads an id; what does not begin with a digit is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.split_once('@').map_or(text, |(id, _)| id);
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = text.split_at_checked(digits)?;
        let number = number.parse().ok()?;
        let part = match rest.strip_prefix('[') {
            None if rest.is_empty() || rest.starts_with('.') => Part::Plain,
            None => return None,
            Some(rest) => {
                let (inside, after) = rest.split_once(']')?;
                if !after.is_empty() && !after.starts_with('.') {
                    return None;
                }
                if inside.is_empty() {
                    Part::Parent
                } else if let Ok(index) = inside.parse() {
                    Part::One(index)
                } else {
                    Part::Some(range(inside)?, inside.to_owned())
                }
            }
        };
        Some(Self { number, part })
    }

    /// The id as the server writes it.
    pub(crate) fn full(&self, server: &str) -> String {
        match &self.part {
            Part::Plain => format!("{}.{server}", self.number),
            Part::Parent => format!("{}[].{server}", self.number),
            Part::One(index) => format!("{}[{index}].{server}", self.number),
            Part::Some(_, text) => format!("{}[{text}].{server}", self.number),
        }
    }
}

/// Most elements that a range may have.
const MOST: u64 = 1_000_000;

/// `X-Y[:Z]` as indices; one of a single index, backwards, or too large is none.
pub(crate) fn range(text: &str) -> Option<Vec<u32>> {
    let (bounds, step) = text.split_once(':').map_or((text, "1"), |(bounds, step)| (bounds, step));
    let (first, last) = bounds.split_once('-')?;
    let (first, last, step): (u32, u32, u32) = (first.parse().ok()?, last.parse().ok()?, step.parse().ok()?);
    if first >= last || step == 0 || u64::from(last - first) / u64::from(step) >= MOST {
        return None;
    }
    Some((first..=last).step_by(step as usize).collect())
}

/// Indices as `1-3,7,9-10`.
pub(crate) fn ranges(indices: &[u32]) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(first) = indices.get(at).copied() {
        let run =
            indices.iter().skip(at).zip(first..).take_while(|(index, expected)| *index == expected).count();
        let last = first.saturating_add(run.saturating_sub(1) as u32);
        out.push(if run > 1 { format!("{first}-{last}") } else { first.to_string() });
        at += run.max(1);
    }
    out.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_and_written() {
        assert_eq!(Id::read("12").map(|id| id.full("s")), Some("12.s".into()));
        assert_eq!(Id::read("12[].pbshost").map(|id| id.full("s")), Some("12[].s".into()));
        assert_eq!(Id::read("12[3]").map(|id| id.part), Some(Part::One(3)));
        assert_eq!(Id::read("4[1-3]").map(|id| id.full("pbshost")), Some("4[1-3].pbshost".into()));
        assert_eq!(Id::read("xyz"), None);
        assert_eq!(range("0-9"), Some((0..10).collect()));
        assert_eq!(range("1-20:5"), Some(vec![1, 6, 11, 16]));
        assert_eq!(range("3-3"), None);
        assert_eq!(range("5-1"), None);
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1-3,7,9-10");
    }
}
