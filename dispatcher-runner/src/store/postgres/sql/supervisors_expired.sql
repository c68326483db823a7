-- No parameters. Rows, locked, of supervisors whose lease has run out. Whoever renews one at this
-- moment is not waited for.
SELECT id
FROM supervisors
WHERE lease_until <= (SELECT clock())
ORDER BY id
FOR UPDATE SKIP LOCKED
