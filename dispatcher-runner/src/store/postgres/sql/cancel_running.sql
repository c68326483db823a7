-- $1: keys. $2: who asked; the first to ask is on record.
-- The plus keeps the plan at the key: without it everything in that state may be read.
UPDATE jobs
SET cancel_by = COALESCE(cancel_by, $2)
WHERE key = ANY ($1)
    AND +state = 1
