-- :dispatcher :identity :now. Lets the first held duplicate go once nothing is ahead of it.
-- Two look-ups in one index, however many are held.
UPDATE jobs
SET waits_for = CASE WHEN run_at <= :now THEN 0 ELSE 1 END
WHERE key = (
        SELECT held.key
        FROM jobs AS held INDEXED BY jobs_unfinished
        WHERE held.dispatcher = :dispatcher
            AND held.identity = :identity
            AND held.waits_for = 2
            AND held.state < 2
            AND held.watched = 1
        ORDER BY held.seq
        LIMIT 1
    )
    AND NOT EXISTS (
        SELECT 1
        FROM jobs AS ahead INDEXED BY jobs_unfinished
        WHERE ahead.dispatcher = :dispatcher
            AND ahead.identity = :identity
            AND ahead.waits_for IN (0, 1)
            AND ahead.state < 2
            AND ahead.watched = 1
    )
RETURNING queue, waits_for
