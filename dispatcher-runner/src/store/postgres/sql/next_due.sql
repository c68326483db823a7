-- No parameters. Milliseconds until the next job is due or expires: the ends of two partial indexes.
SELECT LEAST(
    (
        SELECT due.run_at
        FROM jobs AS due
        WHERE due.state = 0
            AND due.waits_for = 1
        ORDER BY due.run_at
        LIMIT 1
    ),
    (
        SELECT expiring.expires_at
        FROM jobs AS expiring
        WHERE expiring.state = 0
            AND expiring.expires_at IS NOT NULL
        ORDER BY expiring.expires_at
        LIMIT 1
    )
) - clock()
