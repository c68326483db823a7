-- $1: lane. $2: from this number on. $3: at most so many. $4: the claiming build. $5: for how long a
-- newer build's jobs are left to it.
SELECT key, seq, run_at
FROM jobs
WHERE lane = $1
    AND state = 0
    AND waits_for = 0
    AND seq >= $2
    AND (build_modified_ns <= $4 OR run_at <= (SELECT clock()) - $5)
ORDER BY seq
LIMIT $3
FOR NO KEY UPDATE SKIP LOCKED
