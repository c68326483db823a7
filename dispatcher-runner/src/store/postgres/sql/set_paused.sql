-- $1: name. $2: paused.
UPDATE dispatchers
SET paused = $2
WHERE name = $1
