-- :key :due_at. It was not told.
UPDATE callbacks
SET due_at = :due_at
WHERE key = :key
