-- :batch. What was submitted.
SELECT jobs, on_finished
FROM batch_requests
WHERE batch = :batch
