-- Jobs that came together.
--
-- Keys come from `sequence`, so that none is ever used again: a job's row may outlive its batch.
-- `succeeded` is total - pending - failed - cancelled.
CREATE TABLE batches (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    finished_at INTEGER,
    total INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX batches_id
ON batches (id);

CREATE INDEX batches_finished
ON batches (finished_at)
WHERE finished_at IS NOT NULL;

-- What was submitted, apart from what changes: `jobs` is JSON, a list of ids; `on_finished` is the
-- job that follows, as JSON.
CREATE TABLE batch_requests (
    batch INTEGER PRIMARY KEY,
    jobs TEXT NOT NULL,
    on_finished TEXT
) STRICT;

-- The batch of a job.
ALTER TABLE jobs ADD COLUMN batch INTEGER;
