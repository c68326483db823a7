-- $1: dispatcher. $2: so many. Finished jobs over the count, oldest first, with everything about
-- them; answers how many.
WITH keep AS MATERIALIZED (
    SELECT o.job
    FROM outputs AS o
    WHERE o.dispatcher = $1
    ORDER BY o.number DESC
    LIMIT 1
), chosen AS MATERIALIZED (
    SELECT f.key
    FROM finished AS f
    WHERE f.dispatcher = $1
        AND f.key NOT IN (SELECT k.job FROM keep AS k)
    ORDER BY f.ended_at, f.key
    LIMIT $2
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM finished AS f
    USING chosen AS c
    WHERE f.key = c.key
    RETURNING f.key
), no_requests AS (
    DELETE FROM requests AS r
    USING chosen AS c
    WHERE r.job = c.key
), no_outputs AS (
    DELETE FROM outputs AS o
    USING chosen AS c
    WHERE o.job = c.key
), no_attempts AS (
    DELETE FROM attempts AS a
    USING chosen AS c
    WHERE a.job = c.key
), no_captures AS (
    DELETE FROM captures AS p
    USING chosen AS c
    WHERE p.job = c.key
)
SELECT COUNT(*)
FROM gone
