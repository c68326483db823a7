-- :sender :id. What is on record about a message.
SELECT hash, note, jobs
FROM receipts
WHERE sender = :sender
    AND id = :id
