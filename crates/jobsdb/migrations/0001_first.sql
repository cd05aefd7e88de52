-- The first version of the job store. Never edit this file after a release: write 0002.
--
-- Times are whole microseconds since 1970 UTC. States and causes are the numbers of cluster-core
-- (`JobState`, `Cause::to_numbers`). A range of jobs is stored as a range: a job has a row in `job` only
-- once it has a fact of its own, until then it is what its batch row says.

CREATE TABLE batch (
    id               INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again, also after rm
    tag              TEXT    NOT NULL UNIQUE,           -- that of its first submission
    name             TEXT    NOT NULL,
    system           TEXT    NOT NULL,
    scheduler        TEXT    NOT NULL,
    owner            TEXT,                              -- the machine that a local batch belongs to
    user             TEXT    NOT NULL,
    terminal         TEXT,
    count            INTEGER NOT NULL CHECK (count >= 0),
    priority         INTEGER NOT NULL,                  -- of the jobs without a row
    created          INTEGER NOT NULL,
    state            INTEGER NOT NULL,                  -- of the jobs without a row, as all up to `changed`
    cause            INTEGER,
    cause_arg        INTEGER,
    reason           TEXT,
    changed          INTEGER NOT NULL,
    cancel_requested INTEGER,                           -- of the jobs without a row
    collected        INTEGER,                           -- of the jobs that have no value of their own
    cleaned          INTEGER,
    parent_batch     INTEGER,                           -- the job that submitted this batch
    parent_index     INTEGER,
    spec             TEXT    NOT NULL,                  -- JSON
    rows             INTEGER NOT NULL DEFAULT 0,        -- how many of its jobs have a row
    n0 INTEGER NOT NULL DEFAULT 0, -- created
    n1 INTEGER NOT NULL DEFAULT 0, -- submitting
    n2 INTEGER NOT NULL DEFAULT 0, -- queued
    n3 INTEGER NOT NULL DEFAULT 0, -- held
    n4 INTEGER NOT NULL DEFAULT 0, -- running
    n5 INTEGER NOT NULL DEFAULT 0, -- suspended
    n6 INTEGER NOT NULL DEFAULT 0, -- unknown
    n7 INTEGER NOT NULL DEFAULT 0, -- succeeded
    n8 INTEGER NOT NULL DEFAULT 0  -- failed
) STRICT;

CREATE INDEX batch_unfinished ON batch (scheduler, id) WHERE count > n7 + n8;
CREATE INDEX batch_failed ON batch (id) WHERE n8 > 0;
CREATE INDEX batch_terminal ON batch (user, terminal, id);
CREATE INDEX batch_name ON batch (name, id);
CREATE INDEX batch_system ON batch (system, id);
CREATE INDEX batch_parent ON batch (parent_batch, parent_index) WHERE parent_batch IS NOT NULL;

-- The newest run of each job that has a fact of its own.
CREATE TABLE job (
    batch            INTEGER NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    idx              INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    cause            INTEGER,
    cause_arg        INTEGER,
    status           INTEGER,           -- an exit code, or minus a signal
    reason           TEXT,
    priority         INTEGER NOT NULL,
    k                INTEGER NOT NULL,  -- its newest submission
    run              INTEGER NOT NULL,  -- its newest run, from 1, which may not have started
    changed          INTEGER NOT NULL,  -- when the state became what it is
    started          INTEGER,
    ended            INTEGER,
    host             TEXT,
    pid              INTEGER,
    remote           TEXT,
    pack             INTEGER,           -- the pack that streams with an offset lie in
    out_at           INTEGER,           -- offset in the pack; NULL is a file of its own
    out_len          INTEGER,
    err_at           INTEGER,
    err_len          INTEGER,
    cpu_us           INTEGER,
    max_rss_kb       INTEGER,
    evidence         TEXT,              -- JSON
    cancel_requested INTEGER,
    collected        INTEGER,           -- NULL is as the batch, 0 is not (run again since)
    cleaned          INTEGER,
    missing_since    INTEGER,           -- first absent from its scheduler's queue, with no end known
    PRIMARY KEY (batch, idx)
) STRICT, WITHOUT ROWID;

-- Small by being partial: a batch that ran well leaves nothing in them.
CREATE INDEX job_live ON job (batch, state) WHERE state < 7;
CREATE INDEX job_failed ON job (batch) WHERE state = 8;
CREATE INDEX job_again ON job (batch) WHERE run > 1;

-- Earlier runs: a row moves here when the job's next run begins.
CREATE TABLE run (
    batch            INTEGER NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    idx              INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    k                INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    cause            INTEGER,
    cause_arg        INTEGER,
    status           INTEGER,
    reason           TEXT,
    changed          INTEGER NOT NULL,
    started          INTEGER,
    ended            INTEGER,
    host             TEXT,
    pid              INTEGER,
    remote           TEXT,
    pack             INTEGER,
    out_at           INTEGER,
    out_len          INTEGER,
    err_at           INTEGER,
    err_len          INTEGER,
    cpu_us           INTEGER,
    max_rss_kb       INTEGER,
    evidence         TEXT,
    cancel_requested INTEGER,
    PRIMARY KEY (batch, idx, run)
) STRICT, WITHOUT ROWID;

CREATE TABLE submission (
    batch            INTEGER NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    k                INTEGER NOT NULL,
    tag              TEXT    NOT NULL UNIQUE,
    jobs             TEXT    NOT NULL,  -- an index set; '' is all of the batch
    created          INTEGER NOT NULL,
    PRIMARY KEY (batch, k)
) STRICT, WITHOUT ROWID;

-- How a submission goes to a scheduler: its jobs as one native array, or one job alone. Local batches have none.
CREATE TABLE chunk (
    batch            INTEGER NOT NULL,
    k                INTEGER NOT NULL,
    jobs             TEXT    NOT NULL,  -- an index set; a task number is the position in it
    runs             TEXT    NOT NULL,  -- the runs that its jobs had when it was made: `0-4:1,7:2`, or `1` for all
    array            INTEGER NOT NULL,  -- 0 or 1
    throttle         INTEGER,           -- at most so many at a time
    depends          TEXT,              -- JSON of what was handed over to the scheduler
    tried            INTEGER,           -- when the submit command was last begun
    tries            INTEGER NOT NULL DEFAULT 0,
    doubt            INTEGER,           -- when a try ended without an answer: it may have been accepted
    remote           TEXT,              -- the scheduler's id
    sent             INTEGER,
    over             INTEGER NOT NULL DEFAULT 0, -- 1: its jobs have ended, there is nothing to follow
    PRIMARY KEY (batch, k),
    FOREIGN KEY (batch, k) REFERENCES submission (batch, k) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX chunk_remote ON chunk (remote) WHERE remote IS NOT NULL;
CREATE INDEX chunk_open ON chunk (batch, k) WHERE over = 0;

-- The scheduler's last own record of a run, as it printed it.
CREATE TABLE record (
    batch            INTEGER NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    idx              INTEGER NOT NULL,
    run              INTEGER NOT NULL,
    source           TEXT    NOT NULL,  -- the command that printed it
    at               INTEGER NOT NULL,
    text             BLOB    NOT NULL,  -- zlib
    PRIMARY KEY (batch, idx, run)
) STRICT;

-- Users' own facts.
CREATE TABLE meta (
    batch            INTEGER NOT NULL REFERENCES batch (id) ON DELETE CASCADE,
    idx              INTEGER NOT NULL,  -- -1 is the whole batch
    key              TEXT    NOT NULL,
    value            TEXT    NOT NULL,
    PRIMARY KEY (batch, idx, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX meta_value ON meta (key, value, batch, idx);

-- Names of event files that were taken in, so that taking one in twice is harmless.
CREATE TABLE event (
    name             TEXT    NOT NULL PRIMARY KEY,
    at               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX event_at ON event (at);

PRAGMA user_version = 1;
