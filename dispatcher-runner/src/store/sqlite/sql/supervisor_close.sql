-- :id. The row stays while it holds jobs, for the rescuer.
UPDATE supervisors
SET open = 0
WHERE id = :id
