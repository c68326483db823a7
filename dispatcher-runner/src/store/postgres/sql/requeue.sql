-- $1: keys. $2: waits in milliseconds, NULL to keep the place. $3: failures. $4: snoozes.
-- $5: losses. Transition Requeue of running jobs that the caller has locked. A new place has a new
-- number, and each wait has a new time to expire.
-- The plus keeps the plan at the key: without it everything in that state may be read.
WITH wanted AS MATERIALIZED (
    SELECT w.key, w.after, w.failures, w.snoozes, w.lost, clock() AS present,
        CASE WHEN w.after IS NOT NULL THEN nextval('numbers') END AS seq
    FROM unnest($1, $2, $3, $4, $5) AS w (key, after, failures, snoozes, lost)
)
UPDATE jobs AS j
SET state = 0,
    waits_for = CASE WHEN w.after > 0 THEN 1 ELSE 0 END,
    run_at = COALESCE(w.present + w.after, j.run_at),
    seq = COALESCE(w.seq, j.seq),
    expires_at = w.present + COALESCE(w.after, 0) + j.expires_ms,
    failures = j.failures + w.failures,
    snoozes = j.snoozes + w.snoozes,
    lost = j.lost + w.lost,
    started_at = NULL,
    progress = NULL,
    progress_text = NULL,
    supervisor = NULL,
    slot = NULL,
    claim = NULL
FROM wanted AS w
WHERE j.key = w.key
    AND +j.state = 1
