-- :job. Cuts stderr to its last bytes inside SQL, so that a capture is not read whole.
SELECT a.attempt, a.started_at, a.ended_at, a.run_us, a.pid, a.build, a.outcome,
    c.stderr_dropped, SUBSTR(c.stderr_head, -2048), SUBSTR(c.stderr_tail, -2048)
FROM attempts AS a
LEFT JOIN captures AS c ON c.job = a.job AND c.attempt = a.attempt
WHERE a.job = :job
ORDER BY a.attempt
