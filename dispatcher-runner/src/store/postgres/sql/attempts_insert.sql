-- $1: keys. $2: numbers. $3: starts. $4: ends, NULL for now. $5: run times. $6: process ids.
-- $7: builds. $8: outcomes.
INSERT INTO attempts (job, attempt, started_at, ended_at, run_us, pid, build, outcome)
SELECT w.job, w.attempt, w.started_at, COALESCE(w.ended_at, clock()), w.run_us, w.pid, w.build,
    w.outcome
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
    AS w (job, attempt, started_at, ended_at, run_us, pid, build, outcome)
