//! What clears up after a test that was killed and could not do so itself.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// The directory comes by the pipe, so that it is in no words of the guard's own. The pipe's end is the test's.
const TEXT: &str = r#"
IFS= read -r dir
read -r _ && exit
for again in 1 2 3; do
  for process in /proc/[0-9]*; do
    if cat "$process/cmdline" "$process/environ" 2>/dev/null | grep -qaF "$dir"; then kill -9 "${process#/proc/}"; fi
  done
done
rm -rf "$dir"
"#;

/// A shell that waits for this process to end.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    pipe: ChildStdin,
}

impl Guard {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut command = Command::new("sh");
        // In a group of its own: it outlives whoever ends the test's.
        command.args(["-c", TEXT]).env_clear().env("PATH", "/usr/bin:/bin").process_group(0);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        writeln!(pipe, "{}", dir.display()).unwrap();
        Self { child, pipe }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The test has cleared up by itself.
        let _ = writeln!(self.pipe, "done");
        let _ = self.child.wait();
    }
}
