-- $1: id. $2: names. A newer supervisor has taken over the others.
UPDATE supervisors
SET serves = $2
WHERE id = $1
