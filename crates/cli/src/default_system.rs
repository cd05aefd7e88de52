//! The answer to "where do jobs run": `default_system` in the user's own configuration, or, where that file
//! cannot be changed safely, a small file of its own.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cluster_options::Node;
use cluster_options::yaml::Document;

use crate::context::Context;
use crate::output::talk;

const KEY: &str = "default_system";

/// What was answered, where the configuration could not take it.
pub(crate) fn remembered(context: &Context) -> Option<String> {
    let text = fs::read_to_string(state_file(context)?).ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Keeps the answer, and says where. That it cannot be kept is said too, and no error.
pub(crate) fn remember(context: &Context, name: &str) {
    let config = context.user_config.as_deref();
    let into_config = || {
        let file = config.context("there is no $HOME")?;
        add(file, name).map(|()| file.to_owned())
    };
    let kept = into_config().or_else(|reason| {
        let file = state_file(context).context("there is no $HOME")?;
        let dir = file.parent().context("it has no directory")?;
        fs::create_dir_all(dir)?;
        replace(&file, format!("{name}\n").as_bytes(), 0o600)?;
        tracing::debug!("the configuration is left as it is: {reason:#}");
        anyhow::Ok(file)
    });
    match kept {
        Ok(file) => talk(&format!("cluster: kept as {KEY} in {}", file.display())),
        Err(error) => talk(&format!("cluster: the answer cannot be kept: {error:#}")),
    }
}

fn state_file(context: &Context) -> Option<PathBuf> {
    Some(context.state_dir.as_ref()?.join(KEY))
}

/// Adds the key to a configuration file, whose other text stays as it is.
///
/// A line is put to its end, and then the file is read again: it must say what it said before, and this.
fn add(file: &Path, name: &str) -> anyhow::Result<()> {
    // Through a link, so that the link stays one.
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let (mut text, mode) = match fs::metadata(&file) {
        Ok(there) => {
            if there.uid() != rustix::process::getuid().as_raw() {
                bail!("{} belongs to somebody else", file.display());
            }
            (fs::read_to_string(&file)?, there.permissions().mode() & 0o777)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(dir) = file.parent() {
                fs::create_dir_all(dir)?;
            }
            (String::new(), 0o600)
        }
        Err(error) => return Err(error.into()),
    };
    let before = Document::parse(text.as_bytes())?;
    if before.root().get(&[KEY]).is_some() {
        bail!("{} has a {KEY} already", file.display());
    }
    let mut wanted = match before.root() {
        Node::Null => Default::default(),
        Node::Map(map) => map.clone(),
        _ => bail!("{} holds no keys", file.display()),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let quoted = serde_json::to_string(name)?;
    text.push_str(&format!("{KEY}: {quoted}\n"));
    wanted.insert(KEY.to_owned(), Node::Text(name.to_owned()));
    if *Document::parse(text.as_bytes())?.root() != Node::Map(wanted) {
        bail!("{} cannot take a further line", file.display());
    }
    replace(&file, text.as_bytes(), mode)?;
    Ok(())
}

/// Puts a whole file in the place of another.
fn replace(file: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    // Where it is a link, say into a directory of settings under version control, it stays one.
    let file = &fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let mut new = file.as_os_str().to_owned();
    new.push(format!(".new.{}", std::process::id()));
    let written = (|| {
        let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        open.write_all(text)?;
        open.set_permissions(fs::Permissions::from_mode(mode))?;
        open.sync_all()?;
        fs::rename(&new, file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text of a file after the answer, or `None` where it was left alone.
    fn added(before: Option<&str>, name: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a/config.yaml");
        if let Some(text) = before {
            fs::create_dir(dir.path().join("a")).unwrap();
            fs::write(&file, text).unwrap();
        }
        match add(&file, name) {
            Ok(()) => Some(fs::read_to_string(&file).unwrap()),
            Err(_) => {
                assert_eq!(fs::read_to_string(&file).ok().as_deref(), before, "it was changed");
                assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "something is left");
                None
            }
        }
    }

    #[test]
    fn a_line_is_added_and_the_rest_stays() {
        assert_eq!(added(None, "slurm").unwrap(), "default_system: \"slurm\"\n");
        let text = "# mine\nlocal:\n  cores: 3 # all";
        assert_eq!(added(Some(text), "a b").unwrap(), format!("{text}\ndefault_system: \"a b\"\n"));
        assert_eq!(added(Some("# nothing\n"), "x").unwrap(), "# nothing\ndefault_system: \"x\"\n");
    }

    #[test]
    fn a_file_that_cannot_take_a_line_is_left_alone() {
        for text in [
            "{local: {cores: 3}}\n",
            "default_system: x\n",
            "a: |\n  b\n...\n",
            "- 1\n",
            "a: b: c\n",
            "  a: 1\n",
        ] {
            assert_eq!(added(Some(text), "slurm"), None, "{text}");
        }
    }

    #[test]
    fn links_and_modes_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "nesting: refuse\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        add(&link, "slurm").unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&file).unwrap(), "nesting: refuse\ndefault_system: \"slurm\"\n");
    }
}
