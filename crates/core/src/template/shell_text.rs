//! Text for `sh -c` in which inputs are to be put, without their ever being read as shell text.

use thiserror::Error;

use super::placeholder;

/// A command text for `sh -c` with placeholders, made safe: each becomes a positional parameter, which
/// the shell expands quoted, so that no input is ever read as shell text.
///
/// Returns the new text and the words that give the parameters `$1`, `$2` … (each one placeholder).
///
/// ```
/// use cluster_core::template::shell_text;
/// let (text, parameters) = shell_text(b"gzip -c {} > '{.}'.gz", &[""], false).unwrap();
/// assert_eq!(text, br#"gzip -c "${1}" > ''"${2}"''.gz"#);
/// assert_eq!(parameters, ["{}", "{.}"]);
/// ```
///
/// With `many` inputs to one job there is one list of parameters only: the text may then use one kind of
/// placeholder, which becomes `"$@"`.
///
/// # Errors
/// Where a placeholder stands in a place where no quoting keeps it from being read as shell text.
pub fn shell_text<S: AsRef<str>>(
    text: &[u8],
    columns: &[S],
    many: bool,
) -> Result<(Vec<u8>, Vec<String>), ShellTextError> {
    let mut out = Vec::with_capacity(text.len() + 16);
    let mut parameters: Vec<String> = Vec::new();
    let mut context = Context::default();
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        let close = rest.iter().position(|&b| b == b'}').filter(|_| byte == b'{');
        let inside = close.map(|close| &rest[1..close]);
        // `${name}` is the shell's own, whatever our columns are called.
        let own = out.last() == Some(&b'$') && context.top() != Some(b'\'');
        let Some(inside) = inside.filter(|inside| !own && placeholder(inside, columns).is_some()) else {
            let taken = context.step(rest);
            out.extend_from_slice(&rest[..taken]);
            rest = &rest[taken..];
            continue;
        };
        let word = format!("{{{}}}", String::from_utf8_lossy(inside));
        rest = &rest[inside.len() + 2..];
        let number = parameters.iter().position(|known| *known == word).unwrap_or_else(|| {
            parameters.push(word.clone());
            parameters.len() - 1
        });
        let alone = |byte: Option<&u8>| byte.is_none_or(|byte| b" \t\n;&|()`<>".contains(byte));
        let reference = match (context.top(), many) {
            (Some(b'A'), _) => return Err(ShellTextError::Arithmetic(word)),
            (_, true) if parameters.len() > 1 => return Err(ShellTextError::SeveralKinds),
            (Some(b'"' | b'\''), true) => return Err(ShellTextError::Quoted(word)),
            (_, true) if !(alone(out.last()) && alone(rest.first())) => {
                return Err(ShellTextError::Joined(word));
            }
            (_, true) => "\"$@\"".to_owned(),
            (Some(b'"'), false) => format!("${{{}}}", number + 1),
            (Some(b'\''), false) => format!("'\"${{{}}}\"'", number + 1),
            (_, false) => format!("\"${{{}}}\"", number + 1),
        };
        out.extend_from_slice(reference.as_bytes());
    }
    Ok((out, parameters))
}

/// A text for `sh -c` that cannot be made safe.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShellTextError {
    /// Quotes mean nothing in there, and some shells run what stands in an arithmetic value.
    #[error("{0} inside $((…)) would be evaluated by the shell: put it into a variable before, and check it")]
    Arithmetic(String),
    /// There is one list of parameters.
    #[error("with several inputs to a job the text of --sh can have one kind of placeholder")]
    SeveralKinds,
    /// Several words cannot be in one pair of quotes.
    #[error("with several inputs to a job {0} cannot stand in quotes")]
    Quoted(String),
    /// The other text would be joined to the first or the last of them alone.
    #[error(
        "with several inputs to a job {0} must be a word of its own in the text of --sh: loop over them (for x in {0}; \
         do …; done)"
    )]
    Joined(String),
}

/// Where in a shell text we are: `"` and `'` quotes, `(` command substitutions and groups, `` ` `` the old
/// form of them, `A` arithmetic. The innermost is last.
#[derive(Debug, Default)]
struct Context(Vec<u8>);

impl Context {
    fn top(&self) -> Option<u8> {
        self.0.last().copied()
    }

    /// Goes on over the next piece of text; how long it is.
    fn step(&mut self, rest: &[u8]) -> usize {
        let top = self.top();
        if top == Some(b'\'') {
            if rest[0] == b'\'' {
                self.0.pop();
            }
            return 1;
        }
        match rest {
            [b'\\', _, ..] => return 2,
            [b'$', b'(', b'(', ..] => {
                // One for each parenthesis, so that each is closed by its own.
                self.0.extend([b'A', b'A']);
                return 3;
            }
            [b'$', b'(', ..] => {
                self.0.push(b'(');
                return 2;
            }
            [b'"', ..] if top == Some(b'"') => drop(self.0.pop()),
            [b'"', ..] if top != Some(b'A') => self.0.push(b'"'),
            [b'`', ..] if top == Some(b'`') => drop(self.0.pop()),
            [b'`', ..] => self.0.push(b'`'),
            _ if top == Some(b'"') => {}
            [b'\'', ..] if top != Some(b'A') => self.0.push(b'\''),
            [b'(', ..] => self.0.push(if top == Some(b'A') { b'A' } else { b'(' }),
            [b')', ..] if matches!(top, Some(b'(' | b'A')) => drop(self.0.pop()),
            _ => {}
        }
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_text_keeps_what_is_the_shells() {
        let (text, parameters) = shell_text(br#"echo ${x} "{}" \{} {nope}"#, &["x"], false).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), r#"echo ${x} "${1}" \{} {nope}"#);
        assert_eq!(parameters, ["{}"]);
        assert_eq!(shell_text(b"cat {} {.}", &[""], true), Err(ShellTextError::SeveralKinds));
        assert!(matches!(
            shell_text(b"echo $(( {} == 3 ))", &[""], false),
            Err(ShellTextError::Arithmetic(_))
        ));
        for (text, expected) in [
            (r#"echo "$(cat {})" "{}""#, r#"echo "$(cat "${1}")" "${1}""#),
            (r#"echo "`cat {}`""#, r#"echo "`cat "${1}"`""#),
            ("(cd x; cat {}) && echo {}", r#"(cd x; cat "${1}") && echo "${1}""#),
            ("echo $((1 + (2))) {}", r#"echo $((1 + (2))) "${1}""#),
            ("case x in a) echo {};; esac", r#"case x in a) echo "${1}";; esac"#),
        ] {
            let (text, _) = shell_text(text.as_bytes(), &[""], false).unwrap();
            assert_eq!(String::from_utf8(text).unwrap(), expected);
        }
        assert_eq!(shell_text(b"cat {}", &[""], true).unwrap().0, br#"cat "$@""#);
        assert_eq!(shell_text(b"(cat {}|wc)", &[""], true).unwrap().0, br#"(cat "$@"|wc)"#);
        for text in [&b"echo {}x"[..], b"echo x{}", b"echo {}{}"] {
            assert_eq!(shell_text(text, &[""], true), Err(ShellTextError::Joined("{}".to_owned())));
        }
    }
}
