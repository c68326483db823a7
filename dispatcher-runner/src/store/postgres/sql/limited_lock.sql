-- $1: names. Dispatchers with a limit of concurrency, each when its turn has come.
SELECT id
FROM dispatchers
WHERE name = ANY ($1)
    AND concurrency > 0
    AND NOT paused
ORDER BY id
FOR NO KEY UPDATE
