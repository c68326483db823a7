-- $1: key. $2: milliseconds. It was not told.
UPDATE callbacks
SET due_at = clock() + $2
WHERE key = $1
