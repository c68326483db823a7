-- $1: directory, which no two supervisors share. The row that was opened before the connection died.
SELECT id
FROM supervisors
WHERE directory = $1
    AND open
