-- :limit. The first receipts, to see which of them may go.
SELECT key, keep_until
FROM receipts
ORDER BY key
LIMIT :limit
