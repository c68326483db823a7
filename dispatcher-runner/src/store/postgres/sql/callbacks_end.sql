-- $1: keys of jobs that have ended; the caller has locked their rows.
UPDATE callbacks
SET due_at = clock()
WHERE job = ANY ($1)
    AND due_at IS NULL
