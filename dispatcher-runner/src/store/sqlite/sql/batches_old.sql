-- :before :limit. Batches that finished long ago, oldest first.
SELECT key
FROM batches INDEXED BY batches_finished
WHERE finished_at < :before
ORDER BY finished_at
LIMIT :limit
