-- :key. A batch that is forgotten.
DELETE FROM batches
WHERE key = :key
