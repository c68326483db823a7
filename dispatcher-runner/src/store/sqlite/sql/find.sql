-- :low :high :limit. A prefix as a range of the unique index: LIKE would not use it.
SELECT id
FROM jobs
WHERE id >= :low
    AND id < :high
ORDER BY id
LIMIT :limit
