-- :supervisor.
SELECT id, attempt, slot
FROM jobs INDEXED BY jobs_running
WHERE supervisor = :supervisor
    AND state = 1
ORDER BY key
