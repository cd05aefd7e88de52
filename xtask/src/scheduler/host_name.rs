//! The name of this machine: both schedulers refuse to start where it does not resolve.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::ToSocketAddrs;

use anyhow::Context as _;

/// The name up to its first dot.
pub(crate) fn short() -> String {
    let name = full();
    name.split('.').next().unwrap_or(&name).to_owned()
}

/// As the kernel has it.
pub(crate) fn full() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Has the name resolve, by a line in `/etc/hosts` where nothing else does it.
pub(crate) fn resolve(name: &str) -> anyhow::Result<()> {
    if (name, 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some()) {
        return Ok(());
    }
    println!("the host name {name} does not resolve: it is added to /etc/hosts");
    let mut hosts = OpenOptions::new().append(true).open("/etc/hosts").context("cannot open /etc/hosts")?;
    writeln!(hosts, "127.0.0.1 {name}").context("cannot write /etc/hosts")
}
