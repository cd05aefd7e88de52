//! Quoting for `sh`, the one way in which a word of the user's gets into a script.

/// `word` in single quotes, so that any POSIX shell reads it back byte for byte.
///
/// A word made of plain characters is left as it is. NUL cannot be in a word of a command line.
///
/// ```
/// use cluster_core::shell::quote;
/// assert_eq!(quote(b"plain-1.txt"), b"plain-1.txt");
/// assert_eq!(quote(b"it's $HOME"), br"'it'\''s $HOME'");
/// assert_eq!(quote(b""), b"''");
/// ```
pub fn quote(word: &[u8]) -> Vec<u8> {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_-./:@%+,".contains(b);
    if !word.is_empty() && word.iter().all(plain) {
        return word.to_vec();
    }
    let mut quoted = Vec::with_capacity(word.len() + 2);
    quoted.push(b'\'');
    for &byte in word {
        if byte == b'\'' {
            quoted.extend_from_slice(br"'\''");
        } else {
            quoted.push(byte);
        }
    }
    quoted.push(b'\'');
    quoted
}

/// The words of a command line, quoted and joined by blanks.
pub fn join<W: AsRef<[u8]>>(words: impl IntoIterator<Item = W>) -> Vec<u8> {
    let mut line = Vec::new();
    for word in words {
        if !line.is_empty() {
            line.push(b' ');
        }
        line.extend_from_slice(&quote(word.as_ref()));
    }
    line
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        #[allow(clippy::disallowed_methods)]
        fn sh_reads_back_what_was_quoted(word in proptest::collection::vec(1u8.., 0..40)) {
            let mut script = b"printf %s ".to_vec();
            script.extend_from_slice(&quote(&word));
            let output = std::process::Command::new("sh")
                .arg("-c")
                .arg(std::ffi::OsStr::from_bytes(&script))
                .output()
                .unwrap();
            prop_assert_eq!(output.stdout, word);
        }
    }
}
