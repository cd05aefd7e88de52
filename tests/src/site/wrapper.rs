//! A script before a command of the scheduler: it counts, waits, fails, the same for a mock and a real one.

use std::fs;
use std::path::PathBuf;

use super::Site;

/// The calls of a command.
#[derive(Debug)]
pub struct Calls(PathBuf);

impl Calls {
    /// How many there were.
    pub fn count(&self) -> usize {
        self.lines().len()
    }

    /// The words of each.
    pub fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.0).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Site {
    /// Puts `text`, a script of `sh`, before a command; in it `"$REAL" "$@"` is the command itself.
    pub fn wrap(&self, command: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let real = match &self.mock {
            Some(mock) => mock.bin().join(command),
            None => PathBuf::from("/usr/bin").join(command),
        };
        let path = self.path("first").join(command);
        let new = self.path("first").join(format!(".{command}"));
        fs::write(&new, format!("#!/bin/sh\nREAL='{}'\n{text}\n", real.display())).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Takes it away.
    pub fn unwrap_command(&self, command: &str) {
        let _ = fs::remove_file(self.path("first").join(command));
    }

    /// Counts the calls of a command from here on.
    pub fn counted(&self, command: &str) -> Calls {
        let file = self.path(format!("{command}.calls"));
        let text = format!(
            "printf '%s\\n' \"$(printf '%s ' \"$@\" | tr '\\n' ' ')\" >> '{}'\nexec \"$REAL\" \"$@\"",
            file.display()
        );
        self.wrap(command, &text);
        Calls(file)
    }
}
