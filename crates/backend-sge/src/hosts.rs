//! The hosts of a row.

use cluster_core::dialect::{DialectError, HostCores};

/// Unfolds what a row says of its hosts. Grid Engine folds nothing: it is a host, a queue instance
/// (`all.q@node1`), or a few of them between blanks or commas. Cores are not in it: `qstat` names only the
/// first host of a job that has several.
pub(crate) fn unfold(text: &str) -> Result<Vec<HostCores>, DialectError> {
    let words = text.split([',', ' ']).filter(|word| !word.is_empty());
    words
        .map(|word| {
            let host = word.rsplit('@').next().unwrap_or(word);
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if host.is_empty() || !host.chars().all(plain) {
                let offset = word.as_ptr() as usize - text.as_ptr() as usize;
                return Err(DialectError::syntax("hosts", text.as_bytes(), offset, "a host, or QUEUE@HOST"));
            }
            Ok(HostCores { host: host.to_owned(), cores: None })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_instances_and_hosts() {
        let names = |text| unfold(text).unwrap().into_iter().map(|host| host.host).collect::<Vec<_>>();
        assert_eq!(names("vm"), ["vm"]);
        assert_eq!(names("all.q@n1,long.q@n2.site"), ["n1", "n2.site"]);
        assert_eq!(names(""), [""; 0]);
        assert!(unfold("all.q@").is_err());
        assert!(unfold("n1 (x)").is_err());
    }
}
