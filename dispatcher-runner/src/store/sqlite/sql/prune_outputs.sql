-- :key.
DELETE FROM outputs
WHERE job = :key
