//! Options as the C library's `getopt` takes them: letters, some with an argument, mixed with operands until `--`.

/// One thing of a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A letter that has no argument.
    Flag(char),
    /// A letter and its argument.
    Value(char, String),
    /// What is no option.
    Operand(String),
    /// A letter nobody knows.
    Unknown(char),
    /// A letter whose argument is missing.
    Missing(char),
    /// All that stands after `--`.
    Rest(Vec<String>),
}

/// Cuts arguments (without the program's name) by a specification such as `ab:c`.
pub(crate) fn getopt(args: &[String], specification: &str) -> Vec<Item> {
    let mut items = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            items.push(Item::Rest(args.cloned().collect()));
            break;
        }
        let Some(letters) = arg.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            items.push(Item::Operand(arg.clone()));
            continue;
        };
        let mut letters = letters.chars();
        while let Some(letter) = letters.next() {
            match takes_value(specification, letter) {
                None => items.push(Item::Unknown(letter)),
                Some(false) => items.push(Item::Flag(letter)),
                Some(true) => {
                    let attached: String = letters.by_ref().collect();
                    let value = if attached.is_empty() { args.next().cloned() } else { Some(attached) };
                    items.push(value.map_or(Item::Missing(letter), |value| Item::Value(letter, value)));
                }
            }
        }
    }
    items
}

fn takes_value(specification: &str, letter: char) -> Option<bool> {
    if letter == ':' {
        return None;
    }
    let at = specification.find(letter)?;
    Some(specification.get(at + letter.len_utf8()..).is_some_and(|rest| rest.starts_with(':')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_bundled_and_arguments_attached_or_apart() {
        let args = ["-xf", "-Ffoo", "12", "-N", "name", "-q", "--", "-a"].map(str::to_owned);
        assert_eq!(
            getopt(&args, "xfF:N:"),
            [
                Item::Flag('x'),
                Item::Flag('f'),
                Item::Value('F', "foo".into()),
                Item::Operand("12".into()),
                Item::Value('N', "name".into()),
                Item::Unknown('q'),
                Item::Rest(vec!["-a".into()]),
            ]
        );
    }
}
