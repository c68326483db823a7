-- No parameters. What keeps a supervisor from leaving, and for what somebody must be there; delayed
-- and held jobs count.
SELECT DISTINCT d.name, l.queue
FROM lanes AS l
JOIN dispatchers AS d ON d.id = l.dispatcher
WHERE EXISTS (
    SELECT 1
    FROM jobs AS j
    WHERE j.lane = l.id
)
