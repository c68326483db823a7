-- :job :attempt :started_at :ended_at :run_us :pid :build :outcome.
INSERT INTO attempts (job, attempt, started_at, ended_at, run_us, pid, build, outcome)
VALUES (:job, :attempt, :started_at, :ended_at, :run_us, :pid, :build, :outcome)
