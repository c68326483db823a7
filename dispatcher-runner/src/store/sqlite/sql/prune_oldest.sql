-- :dispatcher :keep :limit. Finished jobs over the count, oldest first.
SELECT key
FROM jobs INDEXED BY jobs_finished
WHERE dispatcher = :dispatcher
    AND state >= 2
    AND key IS NOT :keep
ORDER BY ended_at
LIMIT :limit
