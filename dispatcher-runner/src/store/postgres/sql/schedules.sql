-- No parameters. Read once a minute by every timer, so it must not look at jobs.
SELECT d.name, s.record
FROM schedules AS s
JOIN dispatchers AS d ON d.id = s.dispatcher
WHERE s.record IS NOT NULL
ORDER BY d.name
