-- :key :failed :cancelled :now. One of its jobs has ended; answers how many have not.
UPDATE batches
SET pending = pending - 1,
    failed = failed + :failed,
    cancelled = cancelled + :cancelled,
    finished_at = CASE WHEN pending = 1 THEN :now END
WHERE key = :key
RETURNING pending
