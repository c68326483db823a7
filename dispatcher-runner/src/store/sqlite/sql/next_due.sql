-- No parameters. The two ends of two partial indexes.
SELECT
    (
        SELECT MIN(due.run_at)
        FROM jobs AS due INDEXED BY jobs_due
        WHERE due.state = 0
            AND due.waits_for = 1
    ),
    (
        SELECT MIN(expiring.expires_at)
        FROM jobs AS expiring INDEXED BY jobs_expiring
        WHERE expiring.state = 0
            AND expiring.expires_at IS NOT NULL
    )
