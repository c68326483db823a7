-- $1: names. $2: queue labels, of which only those of nodes (`@`) leave all others served. $3: supervisor. $4, $5: lanes, and from where each is
-- read. $6: at most so many of each. $7: for how long a newer build's jobs are left to it. $8, $9:
-- dispatchers, and the claim before which nothing of each runs.
-- What runs is counted up to the limit only; of a saturated dispatcher nothing is read.
WITH contenders AS MATERIALIZED (
    SELECT d.id, d.concurrency, running.jobs, COALESCE(running.oldest, numbers.last_value) AS oldest
    FROM dispatchers AS d
    CROSS JOIN claims AS numbers
    LEFT JOIN unnest($8, $9) AS known (dispatcher, claim) ON known.dispatcher = d.id
    CROSS JOIN LATERAL (
        SELECT COUNT(*) AS jobs, MIN(busy.claim) AS oldest
        FROM (
            SELECT r.claim
            FROM jobs AS r
            WHERE r.dispatcher = d.id
                AND r.state = 1
                AND r.claim >= COALESCE(known.claim, 0)
            ORDER BY r.claim
            LIMIT GREATEST(d.concurrency, 1)
        ) AS busy
    ) AS running
    WHERE d.name = ANY ($1)
        AND NOT d.paused
), me AS MATERIALIZED (
    SELECT s.build_modified_ns AS build, clock() - $7 AS left_until
    FROM supervisors AS s
    WHERE s.id = $3
        AND s.open
)
SELECT c.id, c.concurrency, c.jobs, l.id, l.rank, h.key, h.seq, h.run_at, COALESCE(low.seq, 0), c.oldest
FROM me
CROSS JOIN contenders AS c
JOIN lanes AS l ON l.dispatcher = c.id
LEFT JOIN unnest($4, $5) AS low (lane, seq) ON low.lane = l.id
CROSS JOIN LATERAL (
    SELECT j.key, j.seq, j.run_at
    FROM jobs AS j
    WHERE j.lane = l.id
        AND j.state = 0
        AND j.waits_for = 0
        AND j.seq >= COALESCE(low.seq, 0)
        AND (j.build_modified_ns <= me.build OR j.run_at <= me.left_until)
    ORDER BY j.seq
    LIMIT CASE WHEN c.concurrency > 0 THEN LEAST($6, c.concurrency - c.jobs) ELSE $6 END
    FOR NO KEY UPDATE SKIP LOCKED
) AS h
WHERE l.queue = ANY ($2)
    OR (substr(l.queue, 1, 1) <> '@' AND '@' = ALL (
        SELECT substr(label, 1, 1)
        FROM unnest($2) AS label
    ))
ORDER BY c.id, l.id, h.seq
