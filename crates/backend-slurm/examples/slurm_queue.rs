//! The dialect by itself: prints a queue that squeue printed, and a script with its submission.
//!
//! ```text
//! squeue --json | cargo run -p cluster-backend-slurm --example slurm_queue -- squeue --json
//! ```
//! reads the queue of this machine; without arguments one of a recording is shown.

#![allow(clippy::print_stdout)]

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use cluster_backend_slurm::Slurm;
use cluster_core::dialect::{Dialect, Reading, ScriptRequest, SubmitRequest};
use cluster_core::host::Output;
use cluster_core::{ExitStatus, Resources, Tag};

/// What a real Slurm printed for the command line in [`main`].
const RECORDED: &str =
    "2306_[3-6%2]|PENDING|JobArrayTaskLimit||runarr\n2306_2|RUNNING|None|node[1-2]|runarr\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut argv: Vec<OsString> = std::env::args_os().skip(1).collect();
    let mut stdout = RECORDED.as_bytes().to_vec();
    if argv.is_empty() {
        argv = ["squeue", "-h", "-o", "%i|%T|%r|%N|%j"].map(OsString::from).to_vec();
    } else {
        stdout.clear();
        std::io::stdin().read_to_end(&mut stdout)?;
    }
    let output = Output { status: ExitStatus::Exit(0), stdout, stderr: Vec::new(), truncated: false };
    let slurm = Slurm::new();
    match slurm.read(&argv, &output)? {
        Reading::Jobs(jobs) => {
            for row in &jobs.rows {
                let hosts = slurm.hosts(&row.hosts)?.len();
                println!("{:20} {:10} {:24} {:3} hosts  {}", row.id, row.state, row.reason, hosts, row.name);
            }
            for error in &jobs.errors {
                println!("not understood: {error}");
            }
        }
        other => println!("{other:?}"),
    }

    let resources = Resources { tasks: 4, time: Some("1h30m".parse()?), ..Resources::default() };
    let head = slurm.directives(&ScriptRequest { resources: &resources, priority: 0, extra: &[] });
    println!("\n#!/bin/sh\n{}\nsrun hostname", head.lines.join("\n"));
    let call = slurm.submit(&SubmitRequest {
        script: Path::new("job.sh"),
        name: "hosts",
        tag: &Tag::from_bits(4711),
        log: Path::new("job.log"),
        array: Some(10),
        throttle: Some(2),
        dependencies: &[],
        hold: false,
        resources: &resources,
        head: &[],
    })?;
    println!("\n{}", call.command_line());
    Ok(())
}
