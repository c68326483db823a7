-- $1: id. The columns of jobs.sql first, then what only one job shows.
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
    j.key, r.origin,
    r.options, r.identity, r.build_modified_ns, r.build_id, r.retry_of, j.snoozes, j.lost,
    j.cancel_by, j.supervisor, j.slot, o.output, b.id
FROM requests AS r
JOIN everything AS j ON j.key = r.job
JOIN dispatchers AS d ON d.id = j.dispatcher
JOIN lanes AS l ON l.id = j.lane
LEFT JOIN outputs AS o ON o.job = j.key
LEFT JOIN batches AS b ON b.key = j.batch
WHERE r.id = $1
