-- $1: id.
SELECT COALESCE(j.state, f.state)
FROM requests AS r
LEFT JOIN jobs AS j ON j.key = r.job
LEFT JOIN finished AS f ON f.key = r.job
WHERE r.id = $1
