-- $1: supervisor. Everything a dead supervisor held, locked in the order of keys.
SELECT j.key, r.id, j.dispatcher, j.identity, j.attempt, j.lost, j.cancel_by, j.started_at,
    clock() - COALESCE(j.started_at, clock()), r.options,
    (
        SELECT s.build_id
        FROM supervisors AS s
        WHERE s.id = $1
    ),
    j.seq, j.batch, j.called
FROM jobs AS j
JOIN requests AS r ON r.job = j.key
WHERE j.supervisor = $1
    AND j.state = 1
ORDER BY j.key
FOR UPDATE OF j
