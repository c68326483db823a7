-- No parameters. What a claim must see to before it looks at ready jobs.
SELECT
    COALESCE(
        (
            SELECT expiring.expires_at
            FROM jobs AS expiring
            WHERE expiring.state = 0
                AND expiring.expires_at IS NOT NULL
            ORDER BY expiring.expires_at
            LIMIT 1
        ) <= clock(),
        false
    ),
    COALESCE(
        (
            SELECT due.run_at
            FROM jobs AS due
            WHERE due.state = 0
                AND due.waits_for = 1
            ORDER BY due.run_at
            LIMIT 1
        ) <= clock(),
        false
    ),
    EXISTS (SELECT 1 FROM unsettled)
