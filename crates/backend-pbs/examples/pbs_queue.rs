//! Reads an answer of `qstat` from a file or from standard input and prints its jobs; without one, prints a
//! script and the command line that would submit it.
//!
//! ```text
//! qstat -t -f -w | cargo run -p cluster-backend-pbs --example pbs_queue -- -
//! cargo run -p cluster-backend-pbs --example pbs_queue
//! ```

use std::error::Error;
use std::io::{Read, Write};
use std::path::Path;

use cluster_backend_pbs::OpenPbs;
use cluster_core::dialect::{Dialect, Reading, ScriptRequest, SubmitRequest, Whose};
use cluster_core::host::Output;
use cluster_core::{ExitStatus, Resources, Tag};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    match std::env::args().nth(1).as_deref() {
        None => script(&mut out),
        Some("-") => {
            let mut text = Vec::new();
            std::io::stdin().read_to_end(&mut text)?;
            queue(&mut out, text)
        }
        Some(path) => queue(&mut out, std::fs::read(path)?),
    }
}

/// The head of a script for two nodes, and its submission as an array of ten.
fn script(out: &mut impl Write) -> Result<(), Box<dyn Error>> {
    let resources = Resources { nodes: 2, tasks: 8, time: Some("1h30m".parse()?), ..Resources::default() };
    let head = OpenPbs.directives(&ScriptRequest { resources: &resources, priority: 0, extra: &[] });
    writeln!(out, "#!/bin/sh\n{}", head.lines.join("\n"))?;
    let submission = OpenPbs.submit(&SubmitRequest {
        script: Path::new("job.sh"),
        name: "example",
        tag: &Tag::from_bits(0),
        log: Path::new("job.log"),
        array: Some(10),
        throttle: Some(3),
        dependencies: &[],
        hold: false,
        resources: &resources,
        head: &[],
    })?;
    writeln!(out, "{}", submission.command_line())?;
    Ok(())
}

/// The jobs of an answer to the question that the dialect asks.
fn queue(out: &mut impl Write, stdout: Vec<u8>) -> Result<(), Box<dyn Error>> {
    let question = OpenPbs.query(Whose::All);
    let output = Output { status: ExitStatus::Exit(0), stdout, stderr: Vec::new(), truncated: false };
    if let Reading::Jobs(jobs) = OpenPbs.read(&question.argv, &output)? {
        for row in &jobs.rows {
            writeln!(out, "{:20} {:10} {:12} {}", row.id, row.user, row.state, row.reason)?;
            for host in OpenPbs.hosts(&row.hosts)? {
                writeln!(out, "    {} {} cores", host.host, host.cores.unwrap_or(1))?;
            }
        }
        for error in &jobs.errors {
            writeln!(out, "not understood: {error}")?;
        }
    }
    Ok(())
}
