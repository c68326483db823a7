-- :key.
DELETE FROM captures
WHERE job = :key
