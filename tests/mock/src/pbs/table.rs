//! The fixed tables of `qstat` of OpenPBS: the default one, the `-a` family, `-q` and `-Q`.

/// One row of the default table and of `-a`, as text of any length.
#[derive(Debug, Clone, Default)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) user: String,
    /// CPU time used, `0` before there is any.
    pub(crate) used: String,
    pub(crate) state: char,
    pub(crate) queue: String,
    pub(crate) session: Option<u32>,
    pub(crate) nodes: u64,
    pub(crate) tasks: u64,
    pub(crate) memory: Option<String>,
    /// Seconds asked for.
    pub(crate) limit: Option<u64>,
    /// Seconds of wall clock used.
    pub(crate) elapsed: Option<u64>,
    pub(crate) exec_host: Option<String>,
    pub(crate) comment: Option<String>,
}

/// What of the `-a` family is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Alternate {
    /// `-w`: wide columns.
    pub(crate) wide: bool,
    /// `-n`: where it runs.
    pub(crate) hosts: bool,
    /// `-s`: the comment.
    pub(crate) comment: bool,
    /// `-1`: on the same line.
    pub(crate) one_line: bool,
}

/// Cuts what is longer than its column and marks the cut with `*`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('*');
    short
}

/// The default table; nothing at all without rows.
pub(crate) fn plain(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "Job id            Name             User              Time Use S Queue\n\
         ----------------  ---------------- ----------------  -------- - -----\n",
    );
    for row in rows {
        out.push_str(&format!(
            "{:<17} {:<16} {:<16}  {:>8} {} {:<16}\n",
            cut(&row.id, 17),
            cut(&row.name, 16),
            cut(&row.user, 16),
            row.used,
            row.state,
            cut(&row.queue, 16)
        ));
    }
    out
}

/// The table of `-a -i -r -n -s -H -T -u`.
pub(crate) fn alternate(server: &str, rows: &[Row], how: Alternate) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = format!("\n{server}: \n");
    out.push_str(if how.wide {
        "                                                                                                   Req'd  Req'd   Elap\n\
         Job ID                         Username        Queue           Jobname         SessID   NDS  TSK   Memory Time  S Time\n\
         ------------------------------ --------------- --------------- --------------- -------- ---- ----- ------ ----- - -----\n"
    } else {
        "                                                            Req'd  Req'd   Elap\n\
         Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time\n\
         --------------- -------- -------- ---------- ------ --- --- ------ ----- - -----\n"
    });
    let (id, user, queue, name, session, nodes, tasks) =
        if how.wide { (30, 15, 15, 15, 8, 4, 5) } else { (15, 8, 8, 10, 6, 3, 3) };
    for row in rows {
        out.push_str(&format!(
            "{:<id$} {:<user$} {:<queue$} {:<name$} {:>session$} {:>nodes$} {:>tasks$} {:>6} {:>5} {} {:>5}",
            cut(&row.id, id),
            cut(&row.user, user),
            cut(&row.queue, queue),
            cut(&row.name, name),
            row.session.map_or_else(|| "-- ".to_owned(), |pid| pid.to_string()),
            row.nodes,
            row.tasks,
            row.memory.as_deref().unwrap_or("-- "),
            row.limit.map_or_else(|| "-- ".to_owned(), hours_minutes),
            row.state,
            row.elapsed.map_or_else(|| "-- ".to_owned(), hours_minutes),
        ));
        let mut notes = Vec::new();
        if how.hosts {
            notes.push(row.exec_host.as_deref().unwrap_or(" -- "));
        }
        if how.comment {
            notes.push(row.comment.as_deref().unwrap_or(" -- "));
        }
        for (index, note) in notes.iter().enumerate() {
            match (how.one_line, how.hosts && index == 0) {
                (true, true) => out.push_str(&format!(" {note}")),
                (true, false) => out.push_str(&format!("    {note}")),
                (false, _) => out.push_str(&format!("\n   {note}")),
            }
        }
        out.push('\n');
    }
    out
}

fn hours_minutes(seconds: u64) -> String {
    format!("{:02}:{:02}", seconds / 3600, seconds % 3600 / 60)
}

/// `HH:MM:SS`, hours without bound.
pub(crate) fn hms(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60)
}

/// A queue as `-q` and `-Q` count it.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueueRow {
    pub(crate) name: String,
    pub(crate) memory: Option<String>,
    pub(crate) walltime: Option<String>,
    pub(crate) enabled: bool,
    pub(crate) started: bool,
    pub(crate) queued: u64,
    pub(crate) running: u64,
    pub(crate) held: u64,
    pub(crate) waiting: u64,
    pub(crate) complete: u64,
}

impl QueueRow {
    /// All that wait in the queue.
    pub(crate) fn total(&self) -> u64 {
        self.queued + self.running + self.held + self.waiting + self.complete
    }
}

/// `qstat -Q` of OpenPBS.
pub(crate) fn queues(rows: &[QueueRow]) -> String {
    let mut out = String::from(
        "Queue              Max   Tot Ena Str   Que   Run   Hld   Wat   Trn   Ext Type\n\
         ---------------- ----- ----- --- --- ----- ----- ----- ----- ----- ----- ----\n",
    );
    let yes = |flag: bool| if flag { "yes" } else { "no" };
    for row in rows {
        out.push_str(&format!(
            "{:<16} {:>5} {:>5} {:>3} {:>3} {:>5} {:>5} {:>5} {:>5} {:>5} {:>5} Exe*\n",
            cut(&row.name, 16),
            0,
            row.total(),
            yes(row.enabled),
            yes(row.started),
            row.queued,
            row.running,
            row.held,
            row.waiting,
            0,
            0
        ));
    }
    out
}

/// `qstat -q` of OpenPBS.
pub(crate) fn queue_limits(server: &str, rows: &[QueueRow]) -> String {
    let mut out = format!(
        "\nserver: {server}\n\n\
         Queue            Memory CPU Time Walltime Node   Run   Que   Lm  State\n\
         ---------------- ------ -------- -------- ---- ----- ----- ----  -----\n"
    );
    let (mut running, mut waiting) = (0, 0);
    for row in rows {
        let que = row.queued + row.held + row.waiting;
        running += row.running;
        waiting += que;
        out.push_str(&format!(
            "{:<16} {:>6} {:>8} {:>8} {:>4} {:>5} {:>5} {:>5}  {} {}\n",
            cut(&row.name, 16),
            row.memory.as_deref().unwrap_or("--  "),
            "--   ",
            row.walltime.as_deref().unwrap_or("--   "),
            "-- ",
            row.running,
            que,
            "-- ",
            if row.enabled { 'E' } else { 'D' },
            if row.started { 'R' } else { 'S' }
        ));
    }
    out.push_str(&format!("{:47}----- -----\n{:47}{running:>5} {waiting:>5}\n", "", ""));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, name: &str, state: char) -> Row {
        Row {
            id: id.into(),
            name: name.into(),
            user: "pbsuser".into(),
            used: "0".into(),
            state,
            queue: "workq".into(),
            nodes: 1,
            tasks: 1,
            limit: Some(3600),
            ..Row::default()
        }
    }

    fn assert_recorded(made: &str, recorded: &str) {
        for line in made.lines() {
            assert!(recorded.lines().any(|other| other == line), "not recorded: {line:?}");
        }
    }

    #[test]
    fn tables_look_as_recorded() {
        let select = Row {
            used: "00:00:00".into(),
            session: Some(8769),
            tasks: 2,
            memory: Some("500mb".into()),
            limit: Some(300),
            elapsed: Some(4),
            ..row("2.pbshost", "sel", 'R')
        };
        let rows = [select, row("7.pbshost", "held", 'H')];
        assert_recorded(&plain(&rows), include_str!("recorded/qstat-plain-odd.out"));
        let wide = Alternate { wide: true, ..Alternate::default() };
        assert_recorded(&alternate("pbshost", &rows, wide), include_str!("recorded/qstat-a-wide.out"));
        assert_eq!(cut("survives_restart_too", 16), "survives_restar*");
        assert_eq!(plain(&[]), "");
    }

    #[test]
    fn queue_limits_look_as_recorded() {
        let queue =
            |name: &str| QueueRow { name: name.into(), enabled: true, started: true, ..QueueRow::default() };
        let rows = [
            QueueRow { running: 11, queued: 1, held: 1, waiting: 1, ..queue("workq") },
            QueueRow { memory: Some("4gb".into()), walltime: Some("00:10:00".into()), ..queue("shortq") },
            QueueRow { queued: 1, started: false, ..queue("holdq") },
            QueueRow { enabled: false, ..queue("closedq") },
            queue("gpuq"),
        ];
        assert_eq!(queue_limits("pbshost", &rows), include_str!("recorded/qstat-q.out"));
    }
}
