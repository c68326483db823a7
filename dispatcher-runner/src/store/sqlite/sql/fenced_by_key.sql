-- :key :id :token. As fenced.sql, for a job that this connection has claimed: a key is beside its
-- neighbours, where an id is anywhere in its index. A key is never used again, `id` is a check.
SELECT key, dispatcher, queue, identity, watched, cancel_by, lost, batch, called
FROM jobs
WHERE key = :key
    AND id = :id
    AND state = 1
    AND token = :token
