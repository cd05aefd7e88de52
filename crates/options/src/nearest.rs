//! The nearest spelling of a mistyped word.

/// Longer words are nobody's typing error, and comparing them would take long.
const LONGEST: usize = 64;

/// The words nearest to `word`, best first, at most three; none where nothing is near.
pub fn nearest<'w>(word: &str, words: impl IntoIterator<Item = &'w str>) -> Vec<&'w str> {
    let word = word.trim().to_lowercase();
    let length = word.chars().count();
    if length == 0 || length > LONGEST {
        return Vec::new();
    }
    // A third of the letters may be wrong; in short words one, or everything would be near.
    let limit = (length / 3).max(1);
    let mut found: Vec<(usize, &str)> = words
        .into_iter()
        .filter(|candidate| candidate.len() <= LONGEST)
        .filter_map(|candidate| {
            let lower = candidate.to_lowercase();
            // The beginning of a word is near however much is left out: `part` for `partition`.
            let near = if length >= 3 && lower.starts_with(&word) { 1 } else { distance(&word, &lower) };
            (near <= limit).then_some((near, candidate))
        })
        .collect();
    found.sort_by_key(|(near, _)| *near);
    let mut words: Vec<&str> = found.into_iter().map(|(_, candidate)| candidate).collect();
    words.dedup();
    words.truncate(3);
    words
}

/// "did you mean a, b or c?", or nothing.
pub(crate) fn did_you_mean<S: AsRef<str>>(nearest: &[S]) -> String {
    match nearest {
        [] => String::new(),
        [one] => format!("; did you mean `{}`?", one.as_ref()),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{}`", word.as_ref())).collect();
            format!("; did you mean {} or `{}`?", first.join(", "), last.as_ref())
        }
    }
}

/// Letters to insert, remove, replace or swap with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1; b.len() + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(x != y);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits_and_swaps() {
        for (a, b, want) in
            [("", "", 0), ("abc", "", 3), ("time", "tiem", 1), ("cores", "core", 1), ("gpu", "cpu", 1)]
        {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn finds_the_near_and_not_the_far() {
        let words = ["cores", "mem", "time", "partition", "max-running"];
        assert_eq!(nearest("tiem", words), ["time"]);
        assert_eq!(nearest("part", words), ["partition"]);
        assert_eq!(nearest("Max_runing", words), ["max-running"]);
        assert!(nearest("zzzz", words).is_empty());
        assert!(nearest("", words).is_empty());
        assert!(nearest(&"x".repeat(1 << 20), words).is_empty());
    }
}
