//! `cluster`: submit, follow and collect jobs.

mod after;
mod allocation;
mod args;
mod choose;
mod commands;
mod context;
mod default_system;
mod exit;
mod heap;
mod lines;
mod long_json;
mod new_file;
mod output;
mod reference;
mod runner_process;
mod schedulers;
mod signals;
mod sources;
mod spec_args;
mod system_defaults;
mod what_args;

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;

use crate::exit::Exit;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    // Asked often by scripts, and worth no parser.
    if words.len() == 2 && (words[1] == "--version" || words[1] == "-V") {
        return exit::finish(
            output::line(&format!("cluster {}", env!("CARGO_PKG_VERSION"))).map(|()| Exit::GOOD),
        );
    }
    if words.get(1).is_some_and(|word| word == runner_process::COMMAND) {
        heap::of_runner();
        return exit::finish(runner_process::serve(&words[2..]));
    }
    heap::of_command();
    match words.get(1).and_then(|word| word.to_str()) {
        Some(reference::DOCS) => return exit::finish(reference::docs(args::Args::command())),
        Some(reference::MAN) => {
            return exit::finish(reference::man(args::Args::command(), words.get(2).map(Path::new)));
        }
        Some(commands::bench::QUEUE) => return exit::finish(commands::bench::queue(&words)),
        Some(commands::bench::SUBMIT_MANY) => return exit::finish(commands::bench::submit_many(&words)),
        _ => {}
    }
    match args::parse(&words) {
        Ok(args) => exit::finish(commands::run(args)),
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            // A closed pipe is no error.
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}
