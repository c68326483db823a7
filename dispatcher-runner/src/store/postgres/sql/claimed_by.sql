-- $1: supervisor.
SELECT r.id, j.attempt, j.slot
FROM jobs AS j
JOIN requests AS r ON r.job = j.key
WHERE j.supervisor = $1
    AND j.state = 1
ORDER BY j.key
