-- $1: ids. Those that have ended.
SELECT r.id, f.state
FROM requests AS r
JOIN finished AS f ON f.key = r.job
WHERE r.id = ANY ($1)
