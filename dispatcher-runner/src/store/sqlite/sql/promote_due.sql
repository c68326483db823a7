-- :now :limit. Delayed jobs whose time has come, oldest first, a bounded number per claim.
UPDATE jobs
SET waits_for = 0
WHERE key IN (
    SELECT due.key
    FROM jobs AS due INDEXED BY jobs_due
    WHERE due.state = 0
        AND due.waits_for = 1
        AND due.run_at <= :now
    ORDER BY due.run_at
    LIMIT :limit
)
RETURNING dispatcher, queue
