-- :id, :serves. A newer supervisor has taken over the other names.
UPDATE supervisors
SET serves = :serves
WHERE id = :id
