-- :name. The tally points at the job, which is why prune leaves that job alone.
SELECT j.id, o.output
FROM dispatchers AS d
JOIN tallies AS t ON t.dispatcher = d.id
JOIN jobs AS j ON j.key = t.latest_output
JOIN outputs AS o ON o.job = j.key
WHERE d.name = :name
