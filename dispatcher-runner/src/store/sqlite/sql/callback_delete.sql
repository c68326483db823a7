-- :key. It was told.
DELETE FROM callbacks
WHERE key = :key
