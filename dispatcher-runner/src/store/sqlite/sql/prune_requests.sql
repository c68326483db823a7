-- :key.
DELETE FROM requests
WHERE job = :key
