-- $1: names. Dispatchers with a limit of concurrency, but those at which somebody is counting.
SELECT id
FROM dispatchers
WHERE name = ANY ($1)
    AND concurrency > 0
    AND NOT paused
ORDER BY id
FOR NO KEY UPDATE SKIP LOCKED
