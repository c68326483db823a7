-- :dispatcher :record. The first one is inserted.
INSERT INTO schedules (dispatcher, record)
VALUES (:dispatcher, :record)
ON CONFLICT (dispatcher) DO UPDATE
SET record = excluded.record
