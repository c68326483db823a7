-- Who is told that a job has ended. `due_at` is NULL until then. Keys come from `sequence`: one that
-- was told is never mistaken for another.
CREATE TABLE callbacks (
    key INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    id TEXT NOT NULL,
    url TEXT NOT NULL,
    sender TEXT NOT NULL,
    due_at INTEGER,
    tries INTEGER NOT NULL
) STRICT;

CREATE INDEX callbacks_waiting
ON callbacks (job)
WHERE due_at IS NULL;

CREATE INDEX callbacks_due
ON callbacks (due_at)
WHERE due_at IS NOT NULL;

-- Whether somebody is told of a job's end: spares all others the look.
ALTER TABLE jobs ADD COLUMN called INTEGER NOT NULL DEFAULT 0;
