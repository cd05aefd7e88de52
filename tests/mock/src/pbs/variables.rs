//! What `qsub -v` and `-V` of OpenPBS make of the submitter's variables, traps included.
//!
//! The server holds a list of pairs in which `,` `"` `'` `\` are escaped. `-V` escapes once, so the job gets what
//! was there. `-v` escapes backslashes twice: `a\b` arrives as `a\\b`. Neither keeps blanks at the end of a value.

/// Why `-v` was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `qsub: cannot send environment with the job`, code 1.
    CannotSend,
    /// The real one frees what it did not allocate and dies of SIGABRT: code 134 from a shell.
    Abort,
}

/// The pairs of `-v`, as they stand in `Variable_List`. `lookup` is the submitter's environment.
pub(crate) fn from_list(list: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<Vec<String>, Refusal> {
    let mut pairs = Vec::new();
    for piece in pieces(list)? {
        match piece.text.split_once('=') {
            Some((name, value)) => pairs.push(format!("{name}={}", doubled(value.trim_end_matches(' ')))),
            None => {
                let value = lookup(&piece.text).ok_or(Refusal::CannotSend)?;
                if value.contains(['"', '\'']) {
                    let hopeless = value.contains('\\') && value.contains(',');
                    return Err(if hopeless { Refusal::Abort } else { Refusal::CannotSend });
                }
                pairs.push(format!("{}={}", piece.text, doubled(value.trim_end_matches(' '))));
            }
        }
    }
    Ok(pairs)
}

/// The pairs of `-V`, as they stand in `Variable_List`.
pub(crate) fn from_environment<'a>(environment: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    environment.map(|(name, value)| format!("{name}={}", escaped(value.trim_end_matches(' '), 1))).collect()
}

/// What a job sees of a pair: one layer of escapes is taken off.
pub(crate) fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            _ => out.push(c),
        }
    }
    out
}

/// Splits a `Variable_List` at the commas that are not escaped.
pub(crate) fn split(list: &str) -> Vec<String> {
    let mut pairs = vec![String::new()];
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        let Some(last) = pairs.last_mut() else { break };
        match c {
            '\\' => {
                last.push(c);
                last.extend(chars.next());
            }
            ',' => pairs.push(String::new()),
            _ => last.push(c),
        }
    }
    pairs.retain(|pair| !pair.is_empty());
    pairs
}

fn doubled(value: &str) -> String {
    escaped(value, 3)
}

fn escaped(value: &str, backslashes: usize) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.extend(std::iter::repeat_n('\\', backslashes)),
            ',' | '"' | '\'' => out.push('\\'),
            _ => {}
        }
        out.push(c);
    }
    out
}

struct Piece {
    text: String,
}

/// Cuts at commas outside quotes; quotes must close and are taken off, `\,` is a comma.
fn pieces(list: &str) -> Result<Vec<Piece>, Refusal> {
    let mut out = vec![Piece { text: String::new() }];
    let mut quote = None;
    let mut chars = list.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(last) = out.last_mut() else { break };
        match (c, quote) {
            ('\\', _) if chars.peek() == Some(&',') => last.text.extend(chars.next()),
            (_, Some(open)) if c == open => quote = None,
            // One kind of quote within the other is kept; an apostrophe within double quotes is refused.
            ('\'', Some('"')) => return Err(Refusal::CannotSend),
            (_, Some(_)) => last.text.push(c),
            ('"' | '\'', None) => quote = Some(c),
            (',', None) => out.push(Piece { text: String::new() }),
            _ => last.text.push(c),
        }
    }
    if quote.is_some() {
        return Err(Refusal::CannotSend);
    }
    out.retain(|piece| !piece.text.is_empty());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    /// The recordings `qsub-env-…`, `qsubenv-…` and `job-sees-env-v`.
    #[test]
    fn the_list_is_taken_as_recorded() {
        let env = |name: &str| {
            let value = match name {
                "MB" => "a\\b",
                "MC" => "a,b",
                "APOS" => "it's",
                "DQ" => "a\"b",
                "ALL" => "a,b \"q\" \\ back",
                "EMPTY" => "",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let seen = from_list("MB,MC,A=q=1,B=\"x,y\",C=a\\,b,D= sp ,E=é,EMPTY", env);
        assert_eq!(
            seen,
            Ok(vec![
                "MB=a\\\\\\\\b".into(),
                "MC=a\\,b".into(),
                "A=q=1".into(),
                "B=x\\,y".into(),
                "C=a\\,b".into(),
                "D= sp".into(),
                "E=é".into(),
                "EMPTY=".into(),
            ])
        );
        assert_eq!(unescaped("a\\\\\\\\b"), "a\\\\b", "the job sees two backslashes where there was one");
        assert_eq!(from_list("D=it's", none), Err(Refusal::CannotSend));
        assert_eq!(from_list("A=1,2,3", none), Err(Refusal::CannotSend));
        assert_eq!(from_list("A=\"it's\",B=2", none), Err(Refusal::CannotSend));
        assert_eq!(from_list("APOS", env), Err(Refusal::CannotSend));
        assert_eq!(from_list("DQ", env), Err(Refusal::CannotSend));
        assert_eq!(from_list("NOSUCH", env), Err(Refusal::CannotSend));
        assert_eq!(from_list("ALL", env), Err(Refusal::Abort));
        assert!(from_list("A='say \"hi\"',B=2", none).is_ok());
    }

    #[test]
    fn the_whole_environment_is_kept_but_for_blanks_at_the_end() {
        let pairs = from_environment([("Q3", "a\\b"), ("Q1", "a\"b"), ("Q9", "tr ")].into_iter());
        assert_eq!(pairs, ["Q3=a\\\\b", "Q1=a\\\"b", "Q9=tr"]);
        assert_eq!(unescaped("a\\\\b"), "a\\b");
        assert_eq!(split("A=1,B=x\\,y,C="), ["A=1", "B=x\\,y", "C="]);
    }
}
