-- $1: the asking host. Open ones, and those a rescuer must look at.
SELECT s.id, s.program, s.build_modified_ns, s.build_id, s.pid, s.slots, s.directory, s.serves,
    s.queues, s.started_at, s.open, s.host = $1, COALESCE(s.lease_until <= clock(), false)
FROM supervisors AS s
WHERE s.open
    OR EXISTS (
        SELECT 1
        FROM jobs AS j
        WHERE j.supervisor = s.id
            AND j.state = 1
    )
ORDER BY s.id
