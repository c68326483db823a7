-- $1: name.
SELECT r.id, o.output
FROM dispatchers AS d
JOIN outputs AS o ON o.dispatcher = d.id
JOIN requests AS r ON r.job = o.job
WHERE d.name = $1
ORDER BY o.number DESC
LIMIT 1
