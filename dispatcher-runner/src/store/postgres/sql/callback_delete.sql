-- $1: key. It was told.
DELETE FROM callbacks
WHERE key = $1
