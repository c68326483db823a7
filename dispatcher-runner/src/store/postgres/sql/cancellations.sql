-- $1: supervisor. Reads what one supervisor runs: as many rows as it has slots.
SELECT r.id, j.token, j.cancel_by
FROM jobs AS j
JOIN requests AS r ON r.job = j.key
WHERE j.supervisor = $1
    AND j.state = 1
    AND j.cancel_by IS NOT NULL
ORDER BY j.key
