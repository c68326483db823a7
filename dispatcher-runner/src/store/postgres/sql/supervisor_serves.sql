-- $1: id. What an open supervisor serves; it stays open until the end of this transaction.
SELECT serves
FROM supervisors
WHERE id = $1
    AND open
FOR SHARE
