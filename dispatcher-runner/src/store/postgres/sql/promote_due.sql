-- $1: at most so many. Delayed jobs whose time has come, oldest first.
UPDATE jobs
SET waits_for = 0
WHERE key IN (
    SELECT due.key
    FROM jobs AS due
    WHERE due.state = 0
        AND due.waits_for = 1
        AND due.run_at <= (SELECT clock())
    ORDER BY due.run_at
    LIMIT $1
    FOR NO KEY UPDATE SKIP LOCKED
)
    AND state = 0
    AND waits_for = 1
