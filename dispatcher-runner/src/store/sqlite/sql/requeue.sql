-- :key :token :now :waits_for :run_at :seq :failures :snoozes :lost. Transition Requeue.
-- Without :run_at and :seq the job keeps its place; each wait has a new time to expire.
UPDATE jobs
SET state = 0,
    waits_for = :waits_for,
    run_at = COALESCE(:run_at, run_at),
    seq = COALESCE(:seq, seq),
    expires_at = COALESCE(:run_at, :now) + expires_ms,
    failures = failures + :failures,
    snoozes = snoozes + :snoozes,
    lost = lost + :lost,
    started_at = NULL,
    progress = NULL,
    progress_text = NULL,
    supervisor = NULL,
    slot = NULL
WHERE key = :key
    AND state = 1
    AND token = :token
