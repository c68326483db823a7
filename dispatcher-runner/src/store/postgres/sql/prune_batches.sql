-- $1: age in milliseconds. $2: at most so many. Batches that finished long ago, oldest first, with
-- everything about them.
WITH chosen AS MATERIALIZED (
    SELECT b.key
    FROM batches AS b
    WHERE b.finished_at < (SELECT clock()) - $1
    ORDER BY b.finished_at, b.key
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), no_requests AS (
    DELETE FROM batch_requests AS q
    USING chosen AS c
    WHERE q.batch = c.key
), no_followers AS (
    DELETE FROM followers AS f
    USING chosen AS c
    WHERE f.batch = c.key
)
DELETE FROM batches AS b
USING chosen AS c
WHERE b.key = c.key
