-- $1: id. The row stays while it holds jobs, for the rescuer.
UPDATE supervisors
SET open = false
WHERE id = $1
