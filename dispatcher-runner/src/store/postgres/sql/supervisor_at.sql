-- $1: directory. $2: host. No two supervisors share one; the row that was opened before the connection died.
SELECT id
FROM supervisors
WHERE directory = $1
    AND host = $2
    AND open
