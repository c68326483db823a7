-- :id.
DELETE FROM supervisors
WHERE id = :id
