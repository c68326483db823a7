-- $1: sender. $2: id. What is on record about a message.
SELECT hash, note, jobs, duplicates
FROM receipts
WHERE sender = $1
    AND id = $2
