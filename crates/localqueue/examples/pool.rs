//! Runs a few commands on two cores of this machine, from inside a program of one's own:
//! `cargo run -p cluster-localqueue --example pool`

// An example prints.
#![allow(clippy::print_stdout)]

use std::io::{self, Read};
use std::time::Duration;

use cluster_localqueue::capacity::Amount;
use cluster_localqueue::pool::{Pool, Task};

fn main() -> io::Result<()> {
    let dir = std::env::temp_dir().join(format!("pool-example-{}", std::process::id()));
    let pool = Pool::new(Amount { cores: 2, mem_mb: 0 }, &dir)?;

    let mut tasks = Vec::new();
    for number in 1..=4 {
        let text = format!("seq {number} | sed 's/^/job {number}, line /'");
        tasks.push(pool.run(Task::new(["/bin/sh", "-c", &text], "/")));
    }
    let mut slow = Task::new(["/bin/sleep", "60"], "/");
    slow.time_limit = Some(Duration::from_millis(200));
    let slow = pool.run(slow);

    // In the order in which they were handed in, whichever ends first.
    for task in tasks {
        let mut done = task.wait()?;
        let mut text = String::new();
        done.stdout.read_to_string(&mut text)?;
        print!("{text}");
    }
    println!("sleep 60: {}", slow.wait()?.cause);

    drop(pool);
    std::fs::remove_dir_all(dir)
}
