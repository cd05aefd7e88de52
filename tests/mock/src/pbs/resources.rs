//! `-l` of `qsub`: what OpenPBS makes of it, and what it refuses with which code.

use super::table::hms;

/// A refusal as `qsub: TEXT` with its exit code, which is the server's error number mod 256.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// What a job asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// `Resource_List`, by name.
    pub(crate) list: Vec<(String, String)>,
    pub(crate) chunks: Vec<Chunk>,
    /// Seconds.
    pub(crate) walltime: u64,
}

/// One chunk of `select`, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) ncpus: u64,
    /// Memory in kB.
    pub(crate) mem_kb: Option<u64>,
    /// As `exec_vnode` lists it, without the host: `ncpus=2:mem=512000kb`.
    pub(crate) vnode: String,
}

/// What the server and the queue add.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Defaults<'a> {
    /// Seconds.
    pub(crate) walltime: u64,
    /// Memory a chunk gets in this queue.
    pub(crate) chunk_mem: Option<&'a str>,
}

const KNOWN: [&str; 24] = [
    "arch",
    "cput",
    "file",
    "host",
    "mem",
    "mpiprocs",
    "naccelerators",
    "ncpus",
    "ngpus",
    "nice",
    "nodect",
    "nodes",
    "ompthreads",
    "pcput",
    "place",
    "pmem",
    "pvmem",
    "scratch",
    "select",
    "site",
    "software",
    "vmem",
    "vnode",
    "walltime",
];

impl Request {
    /// Cores in all chunks.
    pub(crate) fn cores(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.ncpus).sum()
    }

    /// One value of `Resource_List`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Memory of all chunks in kB, where it was asked for.
    pub(crate) fn mem_kb(&self) -> Option<u64> {
        let asked: Vec<u64> = self.chunks.iter().filter_map(|chunk| chunk.mem_kb).collect();
        if asked.is_empty() { None } else { Some(asked.iter().sum()) }
    }
}

/// Reads the arguments of all `-l`, in their order.
pub(crate) fn read(lists: &[String], defaults: Defaults<'_>) -> Result<Request, Refused> {
    let mut asked: Vec<(String, String)> = Vec::new();
    for item in lists.iter().flat_map(|list| list.split(',')).filter(|item| !item.is_empty()) {
        let (name, value) = item.split_once('=').unwrap_or((item, ""));
        if !KNOWN.contains(&name) {
            return Err(refused(187, format!("Unknown resource Resource_List.{name}")));
        }
        asked.retain(|(known, _)| known != name);
        asked.push((name.to_owned(), value.to_owned()));
    }
    let names: Vec<String> = asked.iter().map(|(name, _)| name.clone()).collect();
    let has = |name: &str| names.iter().any(|known| known == name);
    if has("nodes") && (has("select") || has("place")) {
        return Err(refused(6, "Cannot be used with select or place: nodes".into()));
    }
    if has("select") {
        for name in ["ncpus", "mem", "mpiprocs", "ompthreads", "vmem", "ngpus", "arch", "host", "nodect"] {
            if has(name) {
                let text = format!(
                    "\"-lresource=\" cannot be used with \"select\" or \"place\", resource is: {name}"
                );
                return Err(refused(5, text));
            }
        }
    }
    let mut walltime = defaults.walltime;
    for (name, value) in &mut asked {
        let good = match name.as_str() {
            "walltime" | "cput" | "pcput" => seconds(value).map(|secs| {
                if name == "walltime" {
                    walltime = secs;
                }
                *value = hms(secs);
            }),
            "mem" | "vmem" | "pmem" | "pvmem" | "file" => kilobytes(value).map(|_| {
                if value.bytes().all(|b| b.is_ascii_digit()) {
                    value.push('b');
                }
            }),
            "ncpus" | "mpiprocs" | "ngpus" | "nodect" | "ompthreads" => value.parse::<u64>().ok().map(|_| ()),
            _ => Some(()),
        };
        if good.is_none() {
            return Err(refused(166, format!("Illegal attribute or resource value Resource_List.{name}")));
        }
    }
    if !has("walltime") {
        asked.push(("walltime".into(), hms(walltime)));
    }
    let take = |asked: &[(String, String)], wanted: &str| {
        asked.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let (select, place) = if let Some(select) = take(&asked, "select") {
        (select, "free")
    } else if let Some(nodes) = take(&asked, "nodes") {
        (from_nodes(&nodes)?, "scatter")
    } else {
        let mut select = String::from("1");
        if let Some(mem) = take(&asked, "mem").or_else(|| defaults.chunk_mem.map(str::to_owned)) {
            select.push_str(&format!(":mem={mem}"));
        }
        select.push_str(&format!(":ncpus={}", take(&asked, "ncpus").unwrap_or_else(|| "1".into())));
        (select, "pack")
    };
    let chunks = chunks(&select)?;
    let mut request = Request { list: asked, chunks, walltime };
    request.set("select", select);
    if request.get("place").is_none() {
        request.set("place", place.to_owned());
    }
    request.set("nodect", request.chunks.len().to_string());
    request.set("ncpus", request.cores().to_string());
    request.totals();
    request.list.sort();
    Ok(request)
}

impl Request {
    fn set(&mut self, name: &str, value: String) {
        self.list.retain(|(known, _)| known != name);
        self.list.push((name.to_owned(), value));
    }

    /// Memory and MPI processes are summed up from the chunks; with one chunk the memory stays as it was written.
    fn totals(&mut self) {
        let select = self.get("select").unwrap_or_default().to_owned();
        if let [Chunk { mem_kb: Some(_), .. }] = self.chunks.as_slice() {
            if let Some(mem) = member(&select, "mem") {
                let unit = if mem.bytes().all(|b| b.is_ascii_digit()) { "b" } else { "" };
                self.set("mem", format!("{mem}{unit}"));
            }
        } else if let Some(kb) = self.mem_kb() {
            self.set("mem", format!("{kb}kb"));
        }
        if let Some(processes) = member(&select, "mpiprocs").and_then(|value| value.parse::<u64>().ok()) {
            let chunks = self.chunks.len() as u64;
            self.set("mpiprocs", processes.saturating_mul(chunks).to_string());
        }
    }
}

fn member(select: &str, wanted: &str) -> Option<String> {
    select
        .split(['+', ':'])
        .filter_map(|piece| piece.split_once('='))
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| value.to_owned())
}

/// The chunks of a `select`; each counts as often as its number says, up to a bound.
fn chunks(select: &str) -> Result<Vec<Chunk>, Refused> {
    const MOST: usize = 10_000;
    let bad = |what: &str| refused(166, format!("Illegal attribute or resource value {what}"));
    let mut out = Vec::new();
    for piece in select.split('+') {
        let mut parts = piece.split(':').peekable();
        let count = match parts.peek() {
            Some(first) if !first.contains('=') => {
                let count = first.parse::<usize>().map_err(|_| bad("Resource_List.select"))?;
                parts.next();
                count
            }
            _ => 1,
        };
        let mut chunk = Chunk { ncpus: 1, ..Chunk::default() };
        let mut vnode = Vec::new();
        let mut cpus_named = false;
        for part in parts {
            let (name, value) = part.split_once('=').ok_or_else(|| bad("Resource_List.select"))?;
            match name {
                "ncpus" => {
                    chunk.ncpus = value.parse().map_err(|_| bad("select.ncpus"))?;
                    cpus_named = true;
                    vnode.push(format!("ncpus={}", chunk.ncpus));
                }
                "mem" | "vmem" | "scratch" => {
                    let kb = kilobytes(value).ok_or_else(|| bad(&format!("select.{name}")))?;
                    if name == "mem" {
                        chunk.mem_kb = Some(kb);
                        vnode.push(format!("mem={kb}kb"));
                    }
                }
                known if KNOWN.contains(&known) => {}
                other => return Err(refused(187, format!("Unknown resource: {other}"))),
            }
        }
        if !cpus_named {
            vnode.push(format!("ncpus={}", chunk.ncpus));
        }
        chunk.vnode = vnode.join(":");
        if count == 0 || out.len() + count > MOST {
            return Err(bad("Resource_List.select"));
        }
        out.extend(std::iter::repeat_n(chunk, count));
    }
    Ok(out)
}

/// `2:ppn=4` as a `select`.
fn from_nodes(nodes: &str) -> Result<String, Refused> {
    let mut pieces = Vec::new();
    for piece in nodes.split('+') {
        let mut parts = piece.split(':');
        let count: u64 = parts
            .next()
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| refused(166, "Illegal attribute or resource value Resource_List.nodes".into()))?;
        match parts.find_map(|part| part.strip_prefix("ppn=")) {
            Some(ppn) => pieces.push(format!("{count}:ncpus={ppn}:mpiprocs={ppn}")),
            None => pieces.push(format!("{count}:ncpus=1")),
        }
    }
    Ok(pieces.join("+"))
}

fn refused(code: i32, text: String) -> Refused {
    Refused { code, text }
}

/// `90`, `1:30`, `100:00:00` in seconds.
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let fields: Vec<&str> = text.split(':').collect();
    if fields.len() > 3 {
        return None;
    }
    fields.iter().try_fold(0u64, |sum, field| {
        let value: u64 = field.split('.').next()?.parse().ok()?;
        sum.checked_mul(60)?.checked_add(value)
    })
}

/// A size in kB, rounded up: digits and `b kb mb gb tb` or `w kw mw …`.
pub(crate) fn kilobytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    let unit = unit.to_ascii_lowercase();
    let (scale, bytes) = match unit.strip_suffix('w') {
        Some(scale) => (scale.to_owned(), 8),
        None => (unit.strip_suffix('b').unwrap_or(&unit).to_owned(), 1),
    };
    let number = number.checked_mul(bytes)?;
    match scale.as_str() {
        "" => Some(number.div_ceil(1024)),
        "k" => Some(number),
        "m" => number.checked_mul(1 << 10),
        "g" => number.checked_mul(1 << 20),
        "t" => number.checked_mul(1 << 30),
        "p" => number.checked_mul(1 << 40),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(list: &str) -> Result<Request, Refused> {
        read(&[list.to_owned()], Defaults { walltime: 3600, chunk_mem: None })
    }

    fn shown(list: &str) -> String {
        let request = ask(list).unwrap();
        request.list.iter().map(|(name, value)| format!("{name}={value};")).collect()
    }

    #[test]
    fn resource_lists_come_out_as_recorded() {
        assert_eq!(shown(""), "ncpus=1;nodect=1;place=pack;select=1:ncpus=1;walltime=01:00:00;");
        assert_eq!(
            shown("select=1:ncpus=2:mem=500mb,walltime=00:05:00"),
            "mem=500mb;ncpus=2;nodect=1;place=free;select=1:ncpus=2:mem=500mb;walltime=00:05:00;"
        );
        assert_eq!(
            shown("nodes=1:ppn=2,walltime=600"),
            "mpiprocs=2;ncpus=2;nodect=1;nodes=1:ppn=2;place=scatter;select=1:ncpus=2:mpiprocs=2;walltime=00:10:00;"
        );
        assert!(shown("select=1:mem=1024").starts_with("mem=1024b;"));
        assert!(shown("select=1:mem=100mw").starts_with("mem=100mw;"));
        assert_eq!(ask("select=1:ncpus=2:mem=500mb").unwrap().chunks[0].vnode, "ncpus=2:mem=512000kb");
        assert_eq!(ask("walltime=1:30").unwrap().walltime, 90);
        let shortq =
            read(&["walltime=60".into()], Defaults { walltime: 3600, chunk_mem: Some("4gb") }).unwrap();
        assert_eq!(shortq.get("select"), Some("1:mem=4gb:ncpus=1"));
        assert_eq!(shortq.get("mem"), Some("4gb"));
    }

    #[test]
    fn refusals_have_the_recorded_codes_and_texts() {
        let refusal = |list| ask(list).map_err(|refused| (refused.code, refused.text)).unwrap_err();
        assert_eq!(refusal("select=1:foo=3"), (187, "Unknown resource: foo".into()));
        assert_eq!(refusal("nope=1"), (187, "Unknown resource Resource_List.nope".into()));
        assert_eq!(
            refusal("select=1:mem=12xx"),
            (166, "Illegal attribute or resource value select.mem".into())
        );
        assert_eq!(
            refusal("select=1:mem=1.5gb"),
            (166, "Illegal attribute or resource value select.mem".into())
        );
        assert_eq!(
            refusal("walltime=abc"),
            (166, "Illegal attribute or resource value Resource_List.walltime".into())
        );
        assert_eq!(
            refusal("select=1:ncpus=1,nodes=1"),
            (6, "Cannot be used with select or place: nodes".into())
        );
        assert_eq!(refusal("ncpus=1,select=1").0, 5);
    }
}
