-- :dispatcher :before :keep :limit. Finished jobs over the age, oldest first.
SELECT key
FROM jobs INDEXED BY jobs_finished
WHERE dispatcher = :dispatcher
    AND state >= 2
    AND ended_at < :before
    AND key IS NOT :keep
ORDER BY ended_at
LIMIT :limit
