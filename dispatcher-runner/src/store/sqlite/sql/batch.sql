-- :id. A batch by its name.
SELECT key, created_at, finished_at, total, pending, failed, cancelled
FROM batches
WHERE id = :id
