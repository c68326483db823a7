-- No parameters. Whether a claim could find a job; read without the write lock.
SELECT EXISTS (
    SELECT 1
    FROM lanes AS l
    JOIN tallies AS t ON t.dispatcher = l.dispatcher
    WHERE l.ready > 0
        AND t.paused = 0
)
