-- $1: id.
DELETE FROM supervisors
WHERE id = $1
