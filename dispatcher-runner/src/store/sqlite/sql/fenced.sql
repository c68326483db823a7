-- :id :token. The job of an attempt, if the token is still valid.
SELECT key, dispatcher, queue, identity, cancel_by, lost
FROM jobs
WHERE id = :id
    AND state = 1
    AND token = :token
