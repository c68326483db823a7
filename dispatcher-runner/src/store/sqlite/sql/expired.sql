-- :now :limit. Queued jobs that have waited too long, a bounded number per claim.
SELECT key, dispatcher, queue, identity, watched, waits_for, batch, called
FROM jobs INDEXED BY jobs_expiring
WHERE state = 0
    AND expires_at <= :now
ORDER BY expires_at
LIMIT :limit
