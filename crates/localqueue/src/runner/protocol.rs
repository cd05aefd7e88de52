//! What clients and the runner say to each other: frames of JSON, each after its length in 4 bytes.

use std::io::{self, Read, Write};

use cluster_core::{BatchId, ByteString, IndexSet, JobId, JobSpec, Tag, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::capacity::Amount;

/// The version both sides must have.
pub const VERSION: u32 = 1;

/// Longer frames are refused: a job's words and environment fit many times over.
const MAX_FRAME: usize = 256 << 20;

/// One batch on its way into a root. Its files lie in `ROOT/jobs/new.<tag>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// By which it is found again; the same tag twice is one submission.
    pub tag: Tag,
    /// What its jobs are to do.
    pub spec: JobSpec,
    /// Whether its jobs begin held.
    #[serde(default)]
    pub hold: bool,
    /// Whose it is.
    pub user: String,
    /// The terminal it came from, for `last`.
    #[serde(default)]
    pub terminal: Option<String>,
    /// The job in which it was submitted.
    #[serde(default)]
    pub parent: Option<JobId>,
    /// Facts of the user's.
    #[serde(default)]
    pub meta: Vec<(String, String)>,
}

/// A further submission of ended jobs of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resubmit {
    /// Its tag.
    pub tag: Tag,
    /// The batch.
    pub batch: BatchId,
    /// The jobs.
    pub jobs: IndexSet,
    /// What they ask for now.
    pub spec: JobSpec,
    /// Whether the last script is sent as it lies there.
    #[serde(default)]
    pub keep_script: bool,
    /// Whether they begin held.
    #[serde(default)]
    pub hold: bool,
}

/// Jobs of one batch; `None` is all of them.
pub type Target = (BatchId, Option<IndexSet>);

/// What can be done to jobs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Queued ones wait.
    Hold,
    /// Held ones go on.
    Release,
    /// They end: running ones by this signal, after the grace by KILL.
    Cancel(i32),
    /// The higher goes first.
    Priority(i32),
}

/// A client's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// The first one.
    Hello {
        /// [`VERSION`] of the client.
        version: u32,
    },
    /// Take these batches into the root.
    Submit {
        /// The root.
        root: ByteString,
        /// The batches.
        batches: Vec<Submit>,
    },
    /// Send ended jobs again.
    Resubmit {
        /// The root.
        root: ByteString,
        /// What is sent again.
        what: Box<Resubmit>,
    },
    /// Do this to jobs.
    Act {
        /// The root.
        root: ByteString,
        /// What.
        action: Action,
        /// To which.
        targets: Vec<Target>,
    },
    /// Say when something changes, until the connection ends. With `lend` the cores of the job that waits
    /// are lent to others meanwhile.
    Watch {
        /// The root.
        root: ByteString,
        /// The batches.
        batches: Vec<BatchId>,
        /// The job that waits, and its root.
        #[serde(default)]
        lend: Option<(ByteString, JobId)>,
        /// The process that runs that job itself, on cores that it has leased, and what the job takes.
        #[serde(default)]
        leased: Option<(u32, Amount)>,
    },
    /// Look after this root (its queued jobs go on).
    Attach {
        /// The root.
        root: ByteString,
    },
    /// Leave me up to so much, until the connection ends: I start processes myself.
    Lease(Amount),
    /// What do you do?
    Status,
    /// Use so much from now on.
    SetCapacity {
        /// Cores; `None` as before.
        cores: Option<u32>,
        /// Memory; `None` as before.
        mem_mb: Option<u64>,
    },
    /// Start nothing more (or again something).
    Drain(bool),
    /// End. Jobs that have a record of their own go on and are adopted by the next runner.
    Stop {
        /// Whether to wait until nothing runs.
        wait: bool,
    },
}

/// The runner's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To `Hello`.
    Hello {
        /// [`VERSION`] of the runner.
        version: u32,
        /// Its process.
        pid: u32,
    },
    /// To `Submit`: each batch's id, or why it was refused.
    Submitted(Vec<Result<BatchId, Refusal>>),
    /// To `Resubmit`: the submission's number.
    Resubmitted(u32),
    /// To `Act`: how many jobs it changed.
    Acted(u64),
    /// To `Watch`, at once and then with each commit: batches that changed.
    News(Vec<BatchId>),
    /// To `Lease`: so much.
    Leased(Amount),
    /// To `Status`.
    Status(Box<Report>),
    /// Done.
    Done,
    /// Not done.
    Refused(Refusal),
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whose fault it is.
    pub kind: RefusalKind,
    /// What to tell the user.
    pub message: String,
}

/// The kinds of refusal; the exit code follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// What was asked for makes no sense.
    Usage,
    /// It does not fit this machine, now or ever.
    TooLarge,
    /// The root's store failed.
    Store,
    /// The other side speaks another version.
    Version,
    /// The runner ends.
    Ending,
}

/// What the runner does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Its directory.
    pub dir: ByteString,
    /// What the machine allows.
    pub machine: Amount,
    /// What jobs may take of it.
    pub limit: Amount,
    /// What running jobs take.
    pub taken: Amount,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs that are held.
    pub held: u64,
    /// Whether nothing more starts.
    pub draining: bool,
    /// How it outlives the terminal.
    pub lives_by: String,
    /// Memory limits and stragglers: what is not enforced here.
    pub not_enforced: Vec<String>,
    /// The roots, and what is wrong with them.
    pub roots: Vec<RootReport>,
}

/// One root that the runner serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootReport {
    /// Its path.
    pub path: ByteString,
    /// Why nothing of it starts now.
    pub trouble: Option<String>,
    /// Bytes that went through its journal since the runner serves it.
    #[serde(default)]
    pub journal_bytes: u64,
}

/// One message as a frame.
///
/// # Errors
/// Where it cannot be JSON, or is larger than any frame.
pub fn frame(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let len = frame.len() - 4;
    if len > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a message of {len} bytes is too long"),
        ));
    }
    frame[..4].copy_from_slice(&(len as u32).to_le_bytes());
    Ok(frame)
}

/// The length in a frame's head.
///
/// # Errors
/// Where it is larger than any frame.
pub fn frame_len(head: [u8; 4]) -> io::Result<usize> {
    let len = u32::from_le_bytes(head) as usize;
    if len > MAX_FRAME {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a message of {len} bytes is too long"),
        ));
    }
    Ok(len)
}

/// Writes one message.
///
/// # Errors
/// What the stream says.
pub fn send(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    stream.write_all(&frame(message)?)
}

/// Reads one message.
///
/// # Errors
/// What the stream says; `UnexpectedEof` where the other side is gone.
pub fn receive<M: DeserializeOwned>(stream: &mut impl Read) -> io::Result<M> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut text = vec![0; frame_len(head)?];
    stream.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}
