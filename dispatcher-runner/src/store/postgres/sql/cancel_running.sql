-- $1: keys. $2: who asked; the first to ask is on record.
UPDATE jobs
SET cancel_by = COALESCE(cancel_by, $2)
WHERE key = ANY ($1)
    AND state = 1
