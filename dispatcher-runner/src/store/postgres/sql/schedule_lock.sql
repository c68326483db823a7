-- $1: name. The record of its ticks, NULL before the first; the row is made if need be, and locked.
WITH made AS (
    INSERT INTO schedules (dispatcher, record)
    SELECT d.id, NULL
    FROM dispatchers AS d
    WHERE d.name = $1
    ON CONFLICT (dispatcher) DO UPDATE
    SET dispatcher = excluded.dispatcher
    RETURNING dispatcher, record
)
SELECT m.dispatcher, m.record, clock()
FROM made AS m
