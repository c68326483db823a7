-- The first schema.
--
-- Spellings: state 0 queued, 1 running, 2 succeeded, 3 failed, 4 cancelled.
-- waits_for (queued jobs only, else 0): 0 nothing, 1 its due time, 2 a duplicate ahead of it.
-- Times are milliseconds since 1970 UTC. No foreign keys: every reference is written and removed
-- in the same transaction as its target, and checking each would cost a look-up per row.

-- One row. Keys of jobs and sequence numbers come from the same counter, so that a job's first
-- sequence number is its key, and a later one is above every other.
CREATE TABLE sequence (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    next INTEGER NOT NULL
) STRICT;

INSERT INTO sequence (id, next)
VALUES (1, 1);

-- What the newest build says of a dispatcher; rarely written.
CREATE TABLE dispatchers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    build_modified_ns INTEGER NOT NULL,
    build_id TEXT NOT NULL,
    options TEXT NOT NULL,
    about TEXT NOT NULL
) STRICT;

-- What changes with every transaction, apart from the documentation in `dispatchers`.
CREATE TABLE tallies (
    dispatcher INTEGER PRIMARY KEY,
    paused INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    running INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    mean_run_us INTEGER,
    latest_output INTEGER
) STRICT;

-- Counters of one queue label of one dispatcher: what a claim looks at before it looks at jobs.
CREATE TABLE lanes (
    dispatcher INTEGER NOT NULL,
    queue TEXT NOT NULL,
    unfinished INTEGER NOT NULL,
    ready INTEGER NOT NULL,
    PRIMARY KEY (dispatcher, queue)
) STRICT, WITHOUT ROWID;

-- What changes in a job's life. Kept small: what was submitted stands in `requests`.
-- `watched`: somebody may look for it as a duplicate, so that it is worth an index entry, whose
-- random place would otherwise be paid for by every job of a long queue.
-- `rank` is the negated priority, so that one ascending index gives the claim order.
CREATE TABLE jobs (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    dispatcher INTEGER NOT NULL,
    queue TEXT NOT NULL,
    identity TEXT NOT NULL,
    watched INTEGER NOT NULL,
    state INTEGER NOT NULL,
    waits_for INTEGER NOT NULL,
    rank INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    submitted_at INTEGER NOT NULL,
    run_at INTEGER NOT NULL,
    expires_ms INTEGER,
    expires_at INTEGER,
    started_at INTEGER,
    ended_at INTEGER,
    attempt INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    token INTEGER NOT NULL,
    snoozes INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    supervisor INTEGER,
    slot INTEGER,
    cancel_by TEXT,
    outcome TEXT,
    progress REAL,
    progress_text TEXT
) STRICT;

CREATE UNIQUE INDEX jobs_id
ON jobs (id);

-- Every index below is partial: none of the first five grows with history.
CREATE INDEX jobs_ready
ON jobs (dispatcher, queue, rank, seq, run_at)
WHERE state = 0 AND waits_for = 0;

CREATE INDEX jobs_due
ON jobs (run_at)
WHERE state = 0 AND waits_for = 1;

CREATE INDEX jobs_expiring
ON jobs (expires_at)
WHERE state = 0 AND expires_at IS NOT NULL;

CREATE INDEX jobs_running
ON jobs (supervisor)
WHERE state = 1;

CREATE INDEX jobs_unfinished
ON jobs (dispatcher, identity, waits_for, seq)
WHERE state < 2 AND watched = 1;

CREATE INDEX jobs_finished
ON jobs (dispatcher, ended_at)
WHERE state >= 2;

-- What was submitted. Apart from `jobs`, because a payload may have 2 MiB and a job's row is
-- rewritten with every change of its state.
CREATE TABLE requests (
    job INTEGER PRIMARY KEY,
    payload TEXT NOT NULL,
    options TEXT NOT NULL,
    origin TEXT NOT NULL,
    build_modified_ns INTEGER NOT NULL,
    build_id TEXT NOT NULL,
    retry_of TEXT
) STRICT;

CREATE TABLE outputs (
    job INTEGER PRIMARY KEY,
    output TEXT NOT NULL
) STRICT;

CREATE TABLE attempts (
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER NOT NULL,
    run_us INTEGER NOT NULL,
    pid INTEGER,
    build TEXT NOT NULL,
    outcome TEXT NOT NULL,
    PRIMARY KEY (job, attempt)
) STRICT, WITHOUT ROWID;

-- Only for attempts that wrote something.
CREATE TABLE captures (
    job INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    stdout_dropped INTEGER NOT NULL,
    stderr_dropped INTEGER NOT NULL,
    stdout_head BLOB NOT NULL,
    stdout_tail BLOB NOT NULL,
    stderr_head BLOB NOT NULL,
    stderr_tail BLOB NOT NULL,
    PRIMARY KEY (job, attempt)
) STRICT;

-- AUTOINCREMENT: an id is never used again, since a late caller may still name it.
CREATE TABLE supervisors (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    program TEXT NOT NULL,
    build_modified_ns INTEGER NOT NULL,
    build_id TEXT NOT NULL,
    pid INTEGER NOT NULL,
    slots INTEGER NOT NULL,
    directory BLOB NOT NULL,
    serves TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    open INTEGER NOT NULL
) STRICT;
