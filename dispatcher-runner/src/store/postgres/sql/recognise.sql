-- $1: id. $2: attempt. $3: its end. $4: its outcome. The state of a job, if this very end of an
-- attempt is on record.
SELECT e.state
FROM requests AS r
JOIN attempts AS a ON a.job = r.job
JOIN everything AS e ON e.key = r.job
WHERE r.id = $1
    AND a.attempt = $2
    AND a.ended_at = $3
    AND a.outcome = $4
