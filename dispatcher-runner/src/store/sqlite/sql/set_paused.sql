-- :name :paused.
UPDATE tallies
SET paused = :paused
WHERE dispatcher = (
    SELECT id
    FROM dispatchers
    WHERE name = :name
)
