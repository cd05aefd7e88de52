//! Options as getopt_long reads them.

/// One option of a command.
pub(super) struct Parsed {
    /// Long name and value, in order.
    pub options: Vec<(&'static str, String)>,
    /// What is no option.
    pub rest: Vec<String>,
}

impl Parsed {
    /// The last value of an option.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The option was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| *known == name)
    }
}

/// Reads arguments by a table of words like `array=a` (with a value, short `-a`), `hold/H` (without), `wait-all?`
/// (value only with `=`). `stop`: what comes after the first word that is no option is no option either.
pub(super) fn parse(table: &'static str, args: &[String], stop: bool) -> Result<Parsed, String> {
    let table: Vec<(&'static str, char, &'static str)> = table
        .split_whitespace()
        .map(|word| {
            let at = word.find(['=', '/', '?']).unwrap_or(word.len());
            let kind = word[at..].chars().next().unwrap_or('/');
            (&word[..at], kind, word.get(at + 1..).unwrap_or(""))
        })
        .collect();
    let mut parsed = Parsed { options: Vec::new(), rest: Vec::new() };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            parsed.rest.extend(args.by_ref().cloned());
        } else if let Some(long) = arg.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (long, None),
            };
            let exact = table.iter().find(|(known, ..)| *known == name);
            let mut similar = table.iter().filter(|(known, ..)| known.starts_with(name));
            let found = exact.or_else(|| similar.next().filter(|_| similar.next().is_none()));
            let Some((known, kind, _)) = found else {
                return Err(format!("unrecognized option '--{name}'"));
            };
            let value = match (kind, value) {
                ('=', None) => {
                    args.next().cloned().ok_or_else(|| format!("option '--{known}' requires an argument"))?
                }
                ('/', Some(_)) => return Err(format!("option '--{known}' doesn't allow an argument")),
                (_, value) => value.unwrap_or_default(),
            };
            parsed.options.push((known, value));
        } else if let Some(short) = arg.strip_prefix('-').filter(|short| !short.is_empty()) {
            for (at, letter) in short.char_indices() {
                let found = table.iter().find(|(.., shorts)| shorts.contains(letter));
                let Some((known, kind, _)) = found else {
                    return Err(format!("invalid option -- '{letter}'"));
                };
                if *kind != '=' {
                    parsed.options.push((known, String::new()));
                    continue;
                }
                let rest = &short[at + letter.len_utf8()..];
                let value = if rest.is_empty() {
                    args.next()
                        .cloned()
                        .ok_or_else(|| format!("option requires an argument -- '{letter}'"))?
                } else {
                    rest.to_owned()
                };
                parsed.options.push((known, value));
                break;
            }
        } else {
            parsed.rest.push(arg.clone());
            if stop {
                parsed.rest.extend(args.by_ref().cloned());
            }
        }
    }
    Ok(parsed)
}

/// Ids of one argument; a comma inside brackets does not part them.
pub(super) fn ids(word: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0;
    for letter in word.chars() {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        if letter == ',' && depth == 0 {
            words.push(String::new());
        } else if let Some(last) = words.last_mut() {
            last.push(letter);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}
