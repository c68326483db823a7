-- $1: at most so many. $2: milliseconds for which they are held. The first that are due; those that
-- somebody else is taking are left to him.
WITH due AS MATERIALIZED (
    SELECT key, due_at
    FROM callbacks
    WHERE due_at <= (SELECT clock())
    ORDER BY due_at, key
    LIMIT $1
    FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE callbacks AS c
    SET due_at = clock() + $2,
        tries = tries + 1
    FROM due AS d
    WHERE c.key = d.key
    RETURNING c.key, c.id, c.url, c.sender, c.tries, d.due_at
)
SELECT key, id, url, sender, tries
FROM taken
ORDER BY due_at, key
