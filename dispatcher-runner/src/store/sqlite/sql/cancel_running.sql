-- :key :by. The first to ask is on record.
UPDATE jobs
SET cancel_by = COALESCE(cancel_by, :by)
WHERE key = :key
    AND state = 1
