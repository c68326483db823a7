-- $1: keys. $2: states. $3: outcomes, where they differ from the last attempt's. Transitions
-- Succeed, Fail, Cancel and Expire of jobs that the caller has locked: they leave the hot table.
WITH ended AS (
    SELECT w.key, w.state, w.outcome
    FROM unnest($1, $2, $3) AS w (key, state, outcome)
), gone AS (
    DELETE FROM jobs AS j
    USING ended AS w
    WHERE j.key = w.key
    RETURNING j.key, j.dispatcher, j.lane, w.state, j.submitted_at, j.run_at, j.started_at,
        j.attempt, j.failures, j.token, j.snoozes, j.lost, j.cancel_by, w.outcome,
        j.batch
)
INSERT INTO finished (
    key, dispatcher, lane, state, submitted_at, run_at, started_at, ended_at, attempt, failures,
    token, snoozes, lost, cancel_by, outcome, batch
)
SELECT key, dispatcher, lane, state, submitted_at, run_at, started_at, clock(), attempt, failures,
    token, snoozes, lost, cancel_by, outcome, batch
FROM gone
