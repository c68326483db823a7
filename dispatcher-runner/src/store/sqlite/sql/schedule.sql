-- :dispatcher.
SELECT record
FROM schedules
WHERE dispatcher = :dispatcher
