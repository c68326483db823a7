-- No parameters. Open ones, and those a rescuer must look at.
SELECT id, program, build_modified_ns, build_id, pid, slots, directory, serves, queues, started_at,
    open
FROM supervisors
WHERE open = 1
    OR EXISTS (
        SELECT 1
        FROM jobs INDEXED BY jobs_running
        WHERE jobs.supervisor = supervisors.id
            AND jobs.state = 1
    )
ORDER BY id
