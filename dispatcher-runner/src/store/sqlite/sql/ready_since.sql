-- :key. For how long a queued job could have been claimed.
SELECT run_at
FROM jobs
WHERE key = :key
