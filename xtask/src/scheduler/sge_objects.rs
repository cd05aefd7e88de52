//! What a cell is made of: hosts, queues, parallel environments, complexes. Made once, left alone where it is there.

use std::process::Command;

use super::place::Place;
use super::{ready, sge_conf as conf};

/// Debian's templates of a parallel environment.
const TEMPLATES: &str = "/usr/share/gridengine/util/resources/pe";

/// See the [module](self).
pub(crate) struct Objects<'a> {
    pub(crate) place: &'a Place,
    pub(crate) host: &'a str,
    pub(crate) client: &'a dyn Fn(&str) -> Command,
}

impl Objects<'_> {
    /// Makes what is missing.
    pub(crate) fn make(&self) -> anyhow::Result<()> {
        let host = self.host;
        // Both say on stderr, and some by their code, that it was there.
        for list in ["-ah", "-as"] {
            ready::answers(self.qconf(&[list, host]).env("LC_ALL", "C"));
        }
        if !self.has(&["-se", host]) {
            self.file("exec-host", &conf::exec_host(host), "-Ae")?;
        }
        let complexes = self.text(&["-sc"]);
        self.file("complexes", &conf::complexes(&complexes), "-Mc")?;
        self.must(&["-rattr", "exechost", "complex_values", "h_vmem=64G", host])?;
        if !self.has(&["-shgrp", "@allhosts"]) {
            self.file("hosts", &format!("group_name @allhosts\nhostlist {host}\n"), "-Ahgrp")?;
        }
        for (name, rule) in [("make", "$round_robin"), ("smp", "$pe_slots"), ("mpi", "$fill_up")] {
            if !self.has(&["-sp", name]) {
                let debian = std::fs::read_to_string(format!("{TEMPLATES}/{name}"))?;
                self.file("parallel", &conf::parallel(&debian, rule), "-Ap")?;
            }
        }
        for (name, slots, h_rt, number) in [("all.q", 8, "INFINITY", 0), ("long.q", 2, "24:00:00", 10)] {
            if !self.has(&["-sq", name]) {
                self.file("queue", &conf::queue(name, slots, h_rt, number), "-Aq")?;
            }
        }
        let scheduler = self.text(&["-ssconf"]);
        self.file("scheduler", &conf::scheduler(&scheduler), "-Msconf")
    }

    fn qconf(&self, words: &[&str]) -> Command {
        let mut command = (self.client)("qconf");
        command.args(words);
        command
    }

    fn has(&self, words: &[&str]) -> bool {
        ready::answers(&mut self.qconf(words))
    }

    fn text(&self, words: &[&str]) -> String {
        ready::text(&mut self.qconf(words)).unwrap_or_default()
    }

    fn must(&self, words: &[&str]) -> anyhow::Result<()> {
        ready::must(&mut self.qconf(words)).map(drop)
    }

    /// Hands over an object as a file, which stays for whoever wants to look.
    fn file(&self, name: &str, text: &str, option: &str) -> anyhow::Result<()> {
        self.place.write(&format!("objects/{name}"), text, 0o644)?;
        self.must(&[option, &self.place.text(&format!("objects/{name}"))])
    }
}
