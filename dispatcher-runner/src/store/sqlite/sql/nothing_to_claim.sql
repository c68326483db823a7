-- :now. Whether a claim would find nothing to do, and when something becomes due or expires:
-- read without the write lock, so that supervisors that are woken in vain are in nobody's way.
SELECT
    next.due,
    next.expires,
    IFNULL(next.due > :now, 1)
        AND IFNULL(next.expires > :now, 1)
        AND NOT EXISTS (
            SELECT 1
            FROM lanes AS l
            JOIN tallies AS t ON t.dispatcher = l.dispatcher
            WHERE l.ready > 0
                AND t.paused = 0
        )
FROM (
    SELECT
        (
            SELECT MIN(waiting.run_at)
            FROM jobs AS waiting INDEXED BY jobs_due
            WHERE waiting.state = 0
                AND waiting.waits_for = 1
        ) AS due,
        (
            SELECT MIN(expiring.expires_at)
            FROM jobs AS expiring INDEXED BY jobs_expiring
            WHERE expiring.state = 0
                AND expiring.expires_at IS NOT NULL
        ) AS expires
) AS next
