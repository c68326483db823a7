-- :dispatcher :queue :unfinished :ready. Differences, added up once per transaction.
INSERT INTO lanes (dispatcher, queue, unfinished, ready)
VALUES (:dispatcher, :queue, :unfinished, :ready)
ON CONFLICT (dispatcher, queue) DO UPDATE
SET unfinished = unfinished + excluded.unfinished,
    ready = ready + excluded.ready
