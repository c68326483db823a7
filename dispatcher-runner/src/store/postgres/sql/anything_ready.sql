-- $1: names. $2: queue labels, of which only those of nodes (`@`) leave all others served. Whether a claim could find a job, and the time until
-- the next is due or expires; locks nothing.
SELECT
    EXISTS (SELECT 1 FROM unsettled)
    OR EXISTS (
        SELECT 1
        FROM dispatchers AS d
        JOIN lanes AS l ON l.dispatcher = d.id
        CROSS JOIN LATERAL (
            SELECT 1
            FROM jobs AS j
            WHERE j.lane = l.id
                AND j.state = 0
                AND j.waits_for = 0
            LIMIT 1
        ) AS one
        WHERE d.name = ANY ($1)
            AND NOT d.paused
            AND (l.queue = ANY ($2) OR (substr(l.queue, 1, 1) <> '@' AND '@' = ALL (
                SELECT substr(label, 1, 1)
                FROM unnest($2) AS label
            )))
    ),
    LEAST(
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
