-- $1: ids. $2: tokens. Running jobs whose token is still valid, locked in the order of their keys.
-- The plus keeps the plan at the key: without it everything in that state may be read.
SELECT r.id, j.token, j.key, j.dispatcher, j.identity, j.cancel_by, j.lost, j.batch, j.called
FROM unnest($1, $2) AS w (id, token)
JOIN requests AS r ON r.id = w.id
JOIN jobs AS j ON j.key = r.job
WHERE +j.state = 1
    AND j.token = w.token
ORDER BY j.key
FOR UPDATE OF j
