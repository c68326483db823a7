-- $1, $2: from and before. $3: at most so many. A prefix as a range of the unique index.
SELECT id
FROM requests
WHERE id >= $1
    AND id < $2
ORDER BY id
LIMIT $3
