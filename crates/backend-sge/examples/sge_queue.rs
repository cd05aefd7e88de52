//! Uses this crate alone: reads a queue, renders the head of a script, shows the command line that sends it.
//!
//! `cargo run -p cluster-backend-sge --example sge_queue [FILE]`, where FILE holds what `qstat -xml -r` printed.

use std::error::Error;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

use cluster_backend_sge::Sge;
use cluster_core::dialect::{Dialect, Reading, ScriptRequest, SubmitRequest};
use cluster_core::host::Output;
use cluster_core::{ExitStatus, Resources, Tag, Walltime};

const RECORDED: &[u8] = include_bytes!("../tests/fixtures/qstat_xml.out");

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let sge = Sge { parallel_environment: Some("smp".into()), ..Sge::default() };

    let stdout = match std::env::args_os().nth(1) {
        Some(file) => std::fs::read(file)?,
        None => RECORDED.to_vec(),
    };
    let output = Output { status: ExitStatus::Exit(0), stdout, stderr: Vec::new(), truncated: false };
    if let Reading::Jobs(jobs) = sge.read(&["qstat", "-xml", "-r"].map(OsString::from), &output)? {
        for row in &jobs.rows {
            writeln!(out, "{:10} {:10} {:10} {}", row.id, row.user, row.state, row.name)?;
        }
        for error in &jobs.errors {
            writeln!(out, "{error}")?;
        }
    }

    let resources = Resources { cores: 4, time: Some(Walltime::from_secs(3600)), ..Resources::default() };
    let head = sge.directives(&ScriptRequest { resources: &resources, priority: 0, extra: &[] });
    writeln!(out, "\n#!/bin/sh")?;
    for line in &head.lines {
        writeln!(out, "{line}")?;
    }
    let request = SubmitRequest {
        script: Path::new("job.sh"),
        name: "sweep",
        tag: &Tag::from_bits(7),
        log: Path::new("/home/ann/sweep.log"),
        array: Some(50),
        throttle: Some(8),
        dependencies: &[],
        hold: false,
        resources: &resources,
        head: &[],
    };
    writeln!(out, "\n{}", sge.submit(&request)?.command_line())?;
    Ok(())
}
