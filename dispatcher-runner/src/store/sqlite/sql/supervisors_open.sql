-- No parameters. What a submitter must know: is there anybody to run its job?
SELECT id, program, build_modified_ns, build_id, pid, slots, directory, serves, queues, started_at,
    open
FROM supervisors
WHERE open = 1
ORDER BY id
