-- No parameters. Where a claim begins: its size is the number of labels in use, not of jobs.
-- Saturated, paused and unknown dispatchers are dropped by the caller, from these rows alone.
SELECT l.dispatcher, l.queue, d.name, d.options, t.running
FROM lanes AS l
JOIN dispatchers AS d ON d.id = l.dispatcher
JOIN tallies AS t ON t.dispatcher = l.dispatcher
WHERE l.ready > 0
    AND t.paused = 0
ORDER BY l.dispatcher, l.queue
