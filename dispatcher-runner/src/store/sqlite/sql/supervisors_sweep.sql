-- No parameters. Closed rows that hold nothing.
DELETE FROM supervisors
WHERE open = 0
    AND NOT EXISTS (
        SELECT 1
        FROM jobs INDEXED BY jobs_running
        WHERE jobs.supervisor = supervisors.id
            AND jobs.state = 1
    )
