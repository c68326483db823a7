-- $1: the asking host. What a submitter must know: is there anybody to run its job?
SELECT s.id, s.program, s.build_modified_ns, s.build_id, s.pid, s.slots, s.directory, s.serves,
    s.queues, s.started_at, s.open, s.host = $1, COALESCE(s.lease_until <= clock(), false)
FROM supervisors AS s
WHERE s.open
ORDER BY s.id
