-- No parameters.
DELETE FROM dispatcher_wire.published
WHERE at < clock_timestamp() - INTERVAL '1 day'
