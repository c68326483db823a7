-- $1: id. Waits for a claim under way.
SELECT id
FROM supervisors
WHERE id = $1
FOR UPDATE
