-- $1: program. $2, $3: build. $4: pid. $5: slots. $6: directory. $7: host. $8: names. $9: labels. $10: milliseconds of
-- its lease.
INSERT INTO supervisors (
    program, build_modified_ns, build_id, pid, slots, directory, host, serves, queues, started_at,
    open, lease_until
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock(), true, clock() + $10)
RETURNING id
