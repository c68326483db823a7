-- $1: id. A batch by its name, with what was submitted.
SELECT b.created_at, b.finished_at, b.total, b.pending, b.failed, b.cancelled, q.jobs, f.id
FROM batches AS b
JOIN batch_requests AS q ON q.batch = b.key
LEFT JOIN followers AS f ON f.batch = b.key
WHERE b.id = $1
