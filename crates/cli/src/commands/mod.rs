//! One file a command.

pub(crate) mod attach;
pub(crate) mod bench;
pub(crate) mod completions;
pub(crate) mod control;
pub(crate) mod db;
pub(crate) mod debug;
pub(crate) mod get;
pub(crate) mod hand_over;
pub(crate) mod init;
pub(crate) mod job;
pub(crate) mod local;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod map;
pub(crate) mod queue;
pub(crate) mod retry;
pub(crate) mod run;
pub(crate) mod show;
pub(crate) mod stream;
pub(crate) mod submit;
pub(crate) mod system;
pub(crate) mod tidy;
pub(crate) mod wait;

use crate::args::{Args, Command};
use crate::context::Context;
use crate::exit::Exit;

/// Does what was asked for.
pub(crate) fn run(args: Args) -> anyhow::Result<Exit> {
    let command = match args.command {
        // These work where there is no home, too.
        Command::Completions(args) => return completions::run(&args),
        Command::Debug(args) => return debug::run(&args),
        Command::Init(init) => return init::run(args.common, &init),
        command => command,
    };
    let context = Context::new(args.common)?;
    match command {
        Command::Run(args) => run::run(context, args),
        Command::Submit(args) => submit::run(context, args),
        Command::Map(args) => map::run(context, args),
        Command::Ls(args) => ls::run(context, &args),
        Command::Show(args) => show::run(context, &args),
        Command::Wait(args) => wait::run(context, &args),
        Command::Attach(args) => attach::run(context, &args),
        Command::Logs(args) => logs::run(context, &args),
        Command::Cancel(args) => control::cancel(context, &args),
        Command::Hold(args) => control::hold(context, &args),
        Command::Release(args) => control::release(context, &args),
        Command::Retry(args) => retry::run(context, args),
        Command::Get(args) => get::run(context, &args),
        Command::Clean(args) => tidy::clean(context, &args),
        Command::Rm(args) => tidy::rm(context, &args),
        Command::Gc(args) => tidy::gc(context, &args),
        Command::Local(args) => local::run(&context, &args),
        Command::Db(args) => db::run(&context, &args),
        Command::Job(args) => job::run(&context, &args),
        Command::Queue(args) => queue::run(context, &args),
        Command::System(args) => system::run(&context, &args),
        // Done above.
        Command::Init(_) | Command::Debug(_) | Command::Completions(_) => Ok(Exit::GOOD),
    }
}
