-- $1: id. Cuts stderr to its last bytes, so that a capture is not sent whole.
SELECT a.attempt, a.started_at, a.ended_at, a.run_us, a.pid, a.build, a.outcome,
    c.stderr_dropped,
    substring(c.stderr_head FROM GREATEST(length(c.stderr_head) - 2047, 1)),
    substring(c.stderr_tail FROM GREATEST(length(c.stderr_tail) - 2047, 1))
FROM requests AS r
JOIN attempts AS a ON a.job = r.job
LEFT JOIN captures AS c ON c.job = a.job AND c.attempt = a.attempt
WHERE r.id = $1
ORDER BY a.attempt
