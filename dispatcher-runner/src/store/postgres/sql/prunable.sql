-- No parameters. Where there may be something to prune.
SELECT d.id, t.finished
FROM dispatchers AS d
CROSS JOIN LATERAL tally(d.id) AS t
WHERE t.finished > 0
ORDER BY d.id
