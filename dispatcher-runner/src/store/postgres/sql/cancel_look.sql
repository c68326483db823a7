-- $1: ids. Unfinished ones, locked in the order of their keys.
SELECT r.id, j.key, j.state, j.dispatcher, j.identity, j.supervisor, j.batch, j.called
FROM requests AS r
JOIN jobs AS j ON j.key = r.job
WHERE r.id = ANY ($1)
ORDER BY j.key
FOR UPDATE OF j
