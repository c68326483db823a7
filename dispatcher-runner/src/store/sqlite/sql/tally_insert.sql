-- :dispatcher. Goes with dispatcher_insert.
INSERT INTO tallies (dispatcher, paused, waiting, running, finished)
VALUES (:dispatcher, 0, 0, 0, 0)
