-- :state :dispatcher :queue. Each may be NULL for any. Walks back from the newest key and is left by
-- the caller when it has enough, since the search in payloads is done outside SQL.
SELECT j.id, d.name, j.queue, j.rank, j.state, j.attempt, j.failures, j.token, r.payload,
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
    r.origin
FROM jobs AS j
JOIN dispatchers AS d ON d.id = j.dispatcher
JOIN requests AS r ON r.job = j.key
WHERE (:state IS NULL OR j.state = :state)
    AND (:dispatcher IS NULL OR j.dispatcher = (
        SELECT named.id
        FROM dispatchers AS named
        WHERE named.name = :dispatcher
    ))
    AND (:queue IS NULL OR j.queue = :queue)
ORDER BY j.key DESC
