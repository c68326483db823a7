-- :key. What was submitted with it.
DELETE FROM batch_requests
WHERE batch = :key
