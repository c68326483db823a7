-- $1: state. $2: dispatcher. $3: queue label; each may be NULL for any. $4: before this key.
-- $5: at most so many. A page of a listing, newest first; the search in payloads is done outside.
SELECT r.id, d.name, l.queue, l.rank, j.state, j.attempt, j.failures, j.token, r.payload,
    j.submitted_at, j.run_at, j.waits_for, j.started_at, j.ended_at, j.progress, j.progress_text,
    CASE
        WHEN j.state < 2 THEN NULL
        ELSE COALESCE(
            j.outcome,
            (
                SELECT a.outcome
                FROM attempts AS a
                WHERE a.job = j.key
                    AND a.attempt = j.attempt
            )
        )
    END,
    j.key, r.origin
FROM everything AS j
JOIN dispatchers AS d ON d.id = j.dispatcher
JOIN lanes AS l ON l.id = j.lane
JOIN requests AS r ON r.job = j.key
WHERE j.key < $4
    AND (CAST($1 AS smallint) IS NULL OR j.state = $1)
    AND (CAST($2 AS text) IS NULL OR d.name = $2)
    AND (CAST($3 AS text) IS NULL OR l.queue = $3)
ORDER BY j.key DESC
LIMIT $5
