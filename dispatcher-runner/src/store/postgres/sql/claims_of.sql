-- $1: supervisor. What its claims said, one row for each job that it still holds.
SELECT r.id, j.slot, d.name, r.payload, r.options, j.attempt, j.failures, j.token, j.snoozes,
    j.started_at - j.run_at
FROM jobs AS j
JOIN dispatchers AS d ON d.id = j.dispatcher
JOIN requests AS r ON r.job = j.key
WHERE j.supervisor = $1
    AND j.state = 1
ORDER BY j.key
