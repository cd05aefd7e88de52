//! Directives in a script: `#PBS -N name` lines before the first command.

/// The words of all directives, in order.
pub(crate) fn directives(script: &str, prefix: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in script.lines() {
        if let Some(rest) = line.strip_prefix(prefix) {
            if !prefix.is_empty() && rest.starts_with([' ', '\t']) {
                found.push(words(rest));
            }
        } else if !line.starts_with('#') && !line.trim().is_empty() && line.trim() != ":" {
            break;
        }
    }
    found
}

/// Cuts at blanks outside quotes; the quotes are taken off. A word that begins with `#` ends the line.
pub(crate) fn words(line: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => out.extend(word.take()),
            ('#', None) if word.is_none() => break,
            _ => word.get_or_insert_default().push(c),
        }
    }
    out.extend(word);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_end_at_the_first_command() {
        let script =
            "#!/bin/bash\n#PBS -N from file\n# a word\n\n#PBS -v 'A=x y',B=2 # note\nsleep 1\n#PBS -N late\n";
        assert_eq!(directives(script, "#PBS"), [vec!["-N", "from", "file"], vec!["-v", "A=x y,B=2"]]);
    }
}
