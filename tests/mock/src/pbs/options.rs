//! The options of `qsub`, from directives and the command line, of OpenPBS and Torque.

use super::getopt::{Item, getopt};

/// Which `qsub`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    OpenPbs,
    Torque,
}

/// What was said; the command line has the last word over the script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) begin: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) directory: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) join: Option<String>,
    pub(crate) keep: Option<String>,
    pub(crate) hold: bool,
    pub(crate) array: Option<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) mail: Option<String>,
    pub(crate) mail_users: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) priority: Option<i64>,
    pub(crate) project: Option<String>,
    pub(crate) queue: Option<String>,
    pub(crate) rerunnable: Option<bool>,
    pub(crate) shell: Option<String>,
    pub(crate) script_args: Option<String>,
    pub(crate) variables: Vec<String>,
    pub(crate) all_variables: bool,
    pub(crate) silent: bool,
    pub(crate) block: bool,
    pub(crate) umask: Option<u32>,
    pub(crate) depend: Option<String>,
    pub(crate) operands: Vec<String>,
    /// What stands after `--`.
    pub(crate) program: Option<Vec<String>>,
}

/// What ends a `qsub` before the server is asked: a line for stderr, and whether the usage follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misuse(pub(crate) String);

const OPENPBS: &str = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:XzG";
const TORQUE: &str = "a:A:b:c:C:d:D:e:fF:hIj:J:k:K:l:L:m:M:nN:o:p:P:q:r:S:t:T:u:v:Vw:W:xXz";

impl Options {
    /// Takes words over what was said so far.
    pub(crate) fn read(&mut self, words: &[String], family: Family) -> Result<(), Misuse> {
        let specification = if family == Family::OpenPbs { OPENPBS } else { TORQUE };
        let mut lists = Vec::new();
        for item in getopt(words, specification) {
            match item {
                Item::Flag(letter) => match letter {
                    'h' => self.hold = true,
                    'V' => self.all_variables = true,
                    'z' => self.silent = true,
                    'I' | 'X' => {
                        return Err(Misuse(format!(
                            "-{letter} is not served by the mock: its jobs are batch jobs"
                        )));
                    }
                    _ => {}
                },
                Item::Value('l', list) => lists.push(list),
                Item::Value(letter, value) => self.value(letter, value, family)?,
                Item::Operand(word) => self.operands.push(word),
                Item::Rest(words) => self.program = Some(words),
                // Torque's getopt says nothing of it: the next word becomes the script.
                Item::Unknown(_) if family == Family::Torque => {}
                Item::Unknown(letter) => return Err(Misuse(format!("invalid option -- '{letter}'"))),
                Item::Missing(letter) => {
                    return Err(Misuse(format!("option requires an argument -- '{letter}'")));
                }
            }
        }
        self.resources.extend(lists);
        Ok(())
    }

    fn value(&mut self, letter: char, value: String, family: Family) -> Result<(), Misuse> {
        let illegal = || Err(Misuse(format!("illegal -{letter} value")));
        match letter {
            'a' => self.begin = Some(value),
            'A' => self.account = Some(value),
            'C' => self.prefix = Some(value),
            'd' | 'w' if family == Family::Torque => self.directory = Some(value),
            'e' => self.error = Some(value),
            'o' => self.output = Some(value),
            'F' => self.script_args = Some(value),
            'j' => match value.as_str() {
                "oe" | "eo" | "n" => self.join = Some(value),
                _ => return illegal(),
            },
            'J' if family == Family::Torque => {
                return Err(Misuse("The -J option can only be used in conjunction with -P".into()));
            }
            'J' => {
                let (range, _) = value.split_once('%').unwrap_or((&value, ""));
                if super::id::range(range).is_none() {
                    return illegal();
                }
                self.array = Some(value);
            }
            't' => self.array = Some(value),
            'k' => {
                let good = value.chars().all(|c| "oedn".contains(c)) && !value.is_empty();
                if !good {
                    return illegal();
                }
                self.keep = Some(value);
            }
            'm' => {
                if !value.chars().all(|c| "nabejp".contains(c)) {
                    return illegal();
                }
                self.mail = Some(value);
            }
            'M' => self.mail_users = Some(value),
            'N' => {
                if !name_is_good(&value, family) {
                    return illegal();
                }
                self.name = Some(value);
            }
            'p' => match value.parse::<i64>() {
                Ok(priority) if (-1024..=1023).contains(&priority) => self.priority = Some(priority),
                _ => return illegal(),
            },
            'P' => self.project = Some(value),
            'q' => self.queue = Some(value),
            'r' => match value.as_str() {
                "y" => self.rerunnable = Some(true),
                "n" => self.rerunnable = Some(false),
                _ => return illegal(),
            },
            'S' => self.shell = Some(value),
            'v' => self.variables.push(value),
            'W' => self.attributes(&value, family)?,
            _ => {}
        }
        Ok(())
    }

    /// `-W name=value,…`; a piece without `=` goes on with the value before it.
    fn attributes(&mut self, list: &str, family: Family) -> Result<(), Misuse> {
        let mut found: Vec<(String, String)> = Vec::new();
        for piece in list.split(',') {
            match (piece.split_once('='), found.last_mut()) {
                (Some((name, value)), _) if !name.contains(':') => {
                    found.push((name.trim().to_owned(), value.to_owned()));
                }
                (_, Some((_, value))) => {
                    value.push(',');
                    value.push_str(piece);
                }
                _ => return Err(Misuse("illegal -W value".into())),
            }
        }
        for (name, value) in found {
            match name.as_str() {
                "depend" => {
                    if super::depend::read(&value, family).is_none() {
                        return Err(Misuse(match family {
                            Family::OpenPbs => "illegal -W value".into(),
                            Family::Torque => format!("illegal -W dependency value: '{value}'"),
                        }));
                    }
                    self.depend = Some(value);
                }
                "block" => self.block = value == "true",
                "umask" => self.umask = u32::from_str_radix(&value, 8).ok(),
                _ => {}
            }
        }
        Ok(())
    }
}

/// May a job be called so?
pub(crate) fn name_is_good(name: &str, family: Family) -> bool {
    !name.is_empty()
        && name.len() <= 230
        && name.chars().all(|c| match family {
            Family::OpenPbs => c.is_ascii_alphanumeric() || ".-+_".contains(c),
            Family::Torque => c.is_ascii_graphic() && !"/:%\"'\\`".contains(c),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Options, Misuse> {
        let mut options = Options::default();
        let words: Vec<String> = words.split('|').map(str::to_owned).collect();
        options.read(&words, Family::OpenPbs).map(|()| options)
    }

    #[test]
    fn what_openpbs_refuses_is_refused_with_its_words() {
        for name in ["has space", "a/b", "a:b=c,d", "a\"b", "jöb-日本"] {
            assert_eq!(read(&format!("-N|{name}")).unwrap_err(), Misuse("illegal -N value".into()), "{name}");
        }
        for name in [".", "-5", "1abc", "a.b-c_d+e", "00123"] {
            assert_eq!(read(&format!("-N|{name}")).unwrap().name.as_deref(), Some(name));
        }
        for array in ["3-3", "5-1", "1,3,5"] {
            assert_eq!(read(&format!("-J|{array}")).unwrap_err(), Misuse("illegal -J value".into()));
        }
        assert_eq!(read("-Y|x").unwrap_err(), Misuse("invalid option -- 'Y'".into()));
        assert_eq!(read("-W|depend=afterok").unwrap_err(), Misuse("illegal -W value".into()));
        assert_eq!(read("-W|depend=afterok:41[3].pbshost").unwrap_err(), Misuse("illegal -W value".into()));
        let options =
            read("-N|x|-W|depend=afterok:38.s,afterany:40.s,block=true|-l|select=1|--|/bin/echo|-n").unwrap();
        assert_eq!(options.depend.as_deref(), Some("afterok:38.s,afterany:40.s"));
        assert!(options.block);
        assert_eq!(options.program, Some(vec!["/bin/echo".into(), "-n".into()]));
    }
}
