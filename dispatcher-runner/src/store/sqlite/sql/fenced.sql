-- :id :token. The job of an attempt that this connection did not claim, if the token is still
-- valid.
SELECT key, dispatcher, queue, identity, watched, cancel_by, lost, batch, called
FROM jobs
WHERE id = :id
    AND state = 1
    AND token = :token
