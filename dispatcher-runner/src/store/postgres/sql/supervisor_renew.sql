-- $1: id. $2: milliseconds. Whoever was rescued has no row any more.
UPDATE supervisors
SET lease_until = clock() + $2
WHERE id = $1
