//! `cluster local status`.

use cluster_core::{ByteString, Timestamp};
use cluster_localqueue::runner::protocol::{Reply, Report, Request};
use cluster_localqueue::runner::{ConnectError, Connection, Place};
use serde_json::{Value, json};

use crate::context::Context;
use crate::exit::Exit;
use crate::output::{self, bytes, line, span, table};

pub(super) fn run(context: &Context) -> anyhow::Result<Exit> {
    let place = context.client.place();
    let report = match context.client.running_runner()? {
        Some(mut connection) => Some(ask(&mut connection)?),
        None => None,
    };
    // Asked by scripts, which want an answer and not an error: that none runs is one.
    let Some(report) = report else {
        let ending = super::is_held(place)?;
        if context.common.json {
            output::json(&json!({
                "v": 1,
                "running": false,
                "ending": ending,
                "directory": ByteString::from(place.dir().to_owned()),
                "socket": ByteString::from(place.socket()),
            }))?;
        } else if ending {
            line("the runner is just ending: the short jobs that only it can see are not over")?;
        } else {
            let dir = place.dir().display();
            line(&format!(
                "no runner runs here: `cluster local start` starts it, as does a submission ({dir})"
            ))?;
        }
        return Ok(Exit::GOOD);
    };
    if context.common.json {
        output::json(&as_json(&report, place, Timestamp::now()))?;
    } else {
        print(&report, place)?;
    }
    Ok(Exit::GOOD)
}

pub(super) fn ask(connection: &mut Connection) -> anyhow::Result<Report> {
    match connection.ask(&Request::Status).map_err(ConnectError::Io)? {
        Reply::Status(report) => Ok(*report),
        _ => anyhow::bail!(ConnectError::Io(std::io::ErrorKind::InvalidData.into())),
    }
}

pub(super) fn jobs(count: u64) -> String {
    if count == 1 { "1 job".to_owned() } else { format!("{count} jobs") }
}

pub(super) fn memory(mb: u64) -> String {
    bytes(mb.saturating_mul(1 << 20))
}

/// The report in JSON; version 1.
fn as_json(report: &Report, place: &Place, now: Timestamp) -> Value {
    json!({
        "v": 1,
        "running": true,
        "pid": report.pid,
        "started": report.started,
        "uptime_s": now.since(report.started).as_secs(),
        "directory": report.dir,
        "socket": ByteString::from(place.socket()),
        "log": ByteString::from(place.log()),
        "machine": report.machine,
        "limit": report.limit,
        "free": report.limit.saturating_sub(&report.taken),
        "jobs": { "running": report.running, "queued": report.queued, "held": report.held },
        "draining": report.draining,
        "lives_by": report.lives_by,
        "not_enforced": report.not_enforced,
        "roots": report.roots,
    })
}

fn print(report: &Report, place: &Place) -> anyhow::Result<()> {
    let (all, limit, free) = (report.machine, report.limit, report.limit.saturating_sub(&report.taken));
    let cores = [all.cores, limit.cores, free.cores].map(|cores| cores.to_string());
    let mem = [all.mem_mb, limit.mem_mb, free.mem_mb].map(memory);
    let row = |name: &str, cells: [String; 3]| [vec![name.to_owned()], cells.to_vec()].concat();
    table(&["", "ALL", "LIMIT", "FREE"], &[row("cores", cores), row("memory", mem)])?;
    let draining = if report.draining { "; draining: nothing more starts" } else { "" };
    let field = |name: &str, text: &str| line(&format!("{name:<14}{text}"));
    field(
        "jobs",
        &format!("{} running, {} queued, {} held{draining}", report.running, report.queued, report.held),
    )?;
    field("runner", &format!("pid {}, up {}", report.pid, span(Timestamp::now().since(report.started))))?;
    field("outlives by", &report.lives_by)?;
    field("directory", &report.dir.to_string_lossy())?;
    field("socket", &place.socket().display().to_string())?;
    field("log", &place.log().display().to_string())?;
    for what in &report.not_enforced {
        field("not enforced", what)?;
    }
    for root in &report.roots {
        field("root", &root.path.to_string_lossy())?;
        if let Some(trouble) = &root.trouble {
            field("  trouble", trouble)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use cluster_localqueue::capacity::Amount;

    use super::*;

    #[test]
    fn the_json_has_what_is_free() {
        let amount = |cores, mem_mb| Amount { cores, mem_mb };
        let report = Report {
            pid: 7,
            started: Timestamp::from_secs(100),
            dir: "/q".into(),
            machine: amount(8, 8000),
            limit: amount(4, 4000),
            // More than the limit, which was lowered while it ran.
            taken: amount(6, 1000),
            running: 3,
            queued: 2,
            held: 1,
            draining: false,
            lives_by: "setsid".to_owned(),
            not_enforced: Vec::new(),
            roots: Vec::new(),
        };
        let value = as_json(&report, &Place::new(Some("/q".into())), Timestamp::from_secs(160));
        assert_eq!(value["free"], json!({ "cores": 0, "mem_mb": 3000 }));
        assert_eq!(value["uptime_s"], 60);
        assert_eq!(value["socket"], "/q/socket");
    }
}
