-- $1: id. Its row, locked, if its lease has run out; read again after whoever renews it.
SELECT id
FROM supervisors
WHERE id = $1
    AND lease_until <= clock()
FOR UPDATE
