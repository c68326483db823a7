-- :supervisor. Reads what one supervisor runs: as many rows as it has slots.
SELECT id, token, cancel_by
FROM jobs INDEXED BY jobs_running
WHERE supervisor = :supervisor
    AND state = 1
    AND cancel_by IS NOT NULL
ORDER BY key
