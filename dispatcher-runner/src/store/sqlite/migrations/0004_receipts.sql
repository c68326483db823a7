-- Messages from outside that were acted on, so that none is acted on twice. A row is written in the
-- transaction that stores the jobs of its message.
--
-- Keys rise and the oldest rows go first, so last - first + 1 is their number. `jobs` is JSON:
-- pairs of a job's id and whether it was there already.
CREATE TABLE receipts (
    key INTEGER PRIMARY KEY,
    sender TEXT NOT NULL,
    id TEXT NOT NULL,
    hash BLOB NOT NULL,
    note TEXT NOT NULL,
    jobs TEXT NOT NULL,
    keep_until INTEGER NOT NULL
) STRICT;

CREATE UNIQUE INDEX receipts_id
ON receipts (sender, id);
