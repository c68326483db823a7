-- :dispatcher :queue :rank :seq :limit. The next ready jobs of a lane after a place in its order;
-- the index holds every column, so nothing else is read.
SELECT key, rank, seq, run_at
FROM jobs INDEXED BY jobs_ready
WHERE dispatcher = :dispatcher
    AND queue = :queue
    AND state = 0
    AND waits_for = 0
    AND (rank, seq) > (:rank, :seq)
ORDER BY rank, seq
LIMIT :limit
