-- $1: at most so many. Queued jobs that have waited too long; those that somebody is about to move
-- are left to them.
SELECT key, dispatcher, identity, batch, called
FROM jobs
WHERE state = 0
    AND expires_at IS NOT NULL
    AND expires_at <= (SELECT clock())
ORDER BY expires_at
LIMIT $1
FOR UPDATE SKIP LOCKED
