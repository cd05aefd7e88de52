//! The options of `qsub` and `qalter`: long words behind one dash, from `#$` lines and the command line.

use crate::pbs::script;

/// What was said; what comes later has the last word, and the command line comes last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) input: Option<String>,
    pub(crate) join: bool,
    pub(crate) cwd: bool,
    pub(crate) directory: Option<String>,
    pub(crate) tasks: Option<String>,
    pub(crate) most: Option<String>,
    pub(crate) hold_on: Vec<String>,
    pub(crate) hold_task_on: Vec<String>,
    pub(crate) hold: Option<String>,
    pub(crate) resources: Vec<(String, String)>,
    pub(crate) queue: Option<String>,
    pub(crate) environment: Option<(String, String)>,
    pub(crate) binary: bool,
    pub(crate) no_shell: bool,
    pub(crate) shell: Option<String>,
    pub(crate) variables: Vec<String>,
    pub(crate) all_variables: bool,
    pub(crate) sync: bool,
    pub(crate) terse: bool,
    pub(crate) check: char,
    pub(crate) priority: i64,
    pub(crate) project: Option<String>,
    pub(crate) account: Option<String>,
    pub(crate) begin: Option<String>,
    pub(crate) rerunnable: Option<bool>,
    pub(crate) notify: bool,
    pub(crate) mail: Option<String>,
    pub(crate) prefix: Option<String>,
    pub(crate) verify: bool,
    pub(crate) operands: Vec<String>,
}

/// An option that is refused: code and text without the program's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Misuse {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Options {
    /// Takes words. Options end at the first operand: the script, or the command of `-b y`.
    pub(crate) fn read(&mut self, words: &[String]) -> Result<(), Misuse> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') || word.len() == 1 {
                self.operands.push(word.clone());
                self.operands.extend(words.cloned());
                break;
            }
            self.option(word, &mut words)?;
        }
        Ok(())
    }

    fn option<'a>(&mut self, word: &str, words: &mut impl Iterator<Item = &'a String>) -> Result<(), Misuse> {
        let mut value = || {
            words
                .next()
                .cloned()
                .ok_or_else(|| Misuse { code: 2, text: format!("{word} option must have argument") })
        };
        let yes = |text: &str| matches!(text, "y" | "yes");
        match word {
            "-N" => self.name = Some(value()?),
            "-o" => self.output = Some(value()?),
            "-e" => self.error = Some(value()?),
            "-i" => self.input = Some(value()?),
            "-j" => self.join = yes(&value()?),
            "-cwd" => self.cwd = true,
            "-wd" => self.directory = Some(value()?),
            "-t" => self.tasks = Some(value()?),
            "-tc" => self.most = Some(value()?),
            "-hold_jid" => self.hold_on = list(&value()?),
            "-hold_jid_ad" => self.hold_task_on = list(&value()?),
            "-h" => self.hold = Some("u".into()),
            "-l" => {
                for item in list(&value()?) {
                    let (name, value) = item.split_once('=').unwrap_or((&item, "TRUE"));
                    self.resources.retain(|(known, _)| known != name);
                    self.resources.push((name.to_owned(), value.to_owned()));
                }
            }
            "-q" => self.queue = Some(value()?),
            "-pe" => {
                let (name, slots) = (value()?, value()?);
                if !slots.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
                    let text = format!(
                        "Numerical value invalid!\nThe initial portion of string \"{slots}\" contains no decimal number"
                    );
                    return Err(Misuse { code: 7, text });
                }
                self.environment = Some((name, slots));
            }
            "-b" => self.binary = yes(&value()?),
            "-shell" => self.no_shell = !yes(&value()?),
            "-S" => self.shell = Some(value()?),
            "-v" => self.variables.push(value()?),
            "-V" => self.all_variables = true,
            "-sync" => self.sync = yes(&value()?),
            "-terse" => self.terse = true,
            "-w" => self.check = value()?.chars().next().unwrap_or('n'),
            "-p" => {
                let text = value()?;
                self.priority = text.parse().map_err(|_| Misuse {
                    code: 7,
                    text: format!(
                        "Numerical value invalid!\nThe initial portion of string \"{text}\" contains no decimal number"
                    ),
                })?;
            }
            "-P" => self.project = Some(value()?),
            "-A" => self.account = Some(value()?),
            "-a" => self.begin = Some(value()?),
            "-r" => self.rerunnable = Some(yes(&value()?)),
            "-notify" => self.notify = true,
            "-m" => self.mail = Some(value()?),
            "-C" => self.prefix = Some(value()?),
            "-verify" => self.verify = true,
            "-M" | "-ac" | "-sc" | "-now" | "-R" | "-js" | "-ckpt" | "-c" | "-masterq" | "-binding"
            | "-dl" | "-jsv" | "-ot" | "-tcon" | "-u" => {
                value()?;
            }
            "-dc" => {
                value()?;
            }
            "-clear" | "-hard" | "-soft" | "-nostdin" | "-pty" => {}
            _ => return Err(Misuse { code: 2, text: format!("invalid option argument \"{word}\"") }),
        }
        Ok(())
    }

    /// Takes the `#$` lines of a script. They stand anywhere in it.
    pub(crate) fn read_script(&mut self, text: &str, prefix: &str) -> Result<(), Misuse> {
        for line in text.lines() {
            let Some(rest) = line.strip_prefix(prefix).filter(|_| !prefix.is_empty()) else { continue };
            if rest.starts_with([' ', '\t', '-']) {
                self.read(&script::words(rest))?;
            }
        }
        Ok(())
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect()
}
