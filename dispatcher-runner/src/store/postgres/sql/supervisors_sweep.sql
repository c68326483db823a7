-- No parameters. Closed rows that hold nothing. Who is at one of them sweeps it later.
DELETE FROM supervisors
WHERE id IN (
    SELECT s.id
    FROM supervisors AS s
    WHERE NOT s.open
        AND NOT EXISTS (
            SELECT 1
            FROM jobs AS j
            WHERE j.supervisor = s.id
                AND j.state = 1
        )
    ORDER BY s.id
    FOR UPDATE SKIP LOCKED
)
    AND NOT open
