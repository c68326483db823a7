-- :key.
DELETE FROM attempts
WHERE job = :key
