-- $1: supervisor. $2: keys that the caller has locked. $3: slots. Transition Claim, answered in the
-- order of the keys.
-- The plus keeps the plan at the key: without it everything in that state may be read.
WITH taken AS (
    UPDATE jobs AS j
    SET state = 1,
        supervisor = $1,
        slot = w.slot,
        started_at = clock(),
        attempt = j.attempt + 1,
        token = j.token + 1,
        claim = nextval('claims')
    FROM unnest($2, $3) WITH ORDINALITY AS w (key, slot, number)
    WHERE j.key = w.key
        AND +j.state = 0
        AND +j.waits_for = 0
    RETURNING w.number, j.key, j.slot, j.dispatcher, j.attempt, j.failures, j.token, j.snoozes,
        j.run_at, j.started_at
)
SELECT r.id, t.slot, d.name, r.payload, r.options, t.attempt, t.failures, t.token, t.snoozes,
    t.started_at - t.run_at, t.dispatcher
FROM taken AS t
JOIN requests AS r ON r.job = t.key
JOIN dispatchers AS d ON d.id = t.dispatcher
ORDER BY t.number
