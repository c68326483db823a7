-- $1: keys. $2: attempts. $3, $4: bytes dropped. $5, $6: head and tail of stdout. $7, $8: of stderr.
INSERT INTO captures (
    job, attempt, stdout_dropped, stderr_dropped, stdout_head, stdout_tail, stderr_head, stderr_tail
)
SELECT w.job, w.attempt, w.stdout_dropped, w.stderr_dropped, w.stdout_head, w.stdout_tail,
    w.stderr_head, w.stderr_tail
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8)
    AS w (job, attempt, stdout_dropped, stderr_dropped, stdout_head, stdout_tail, stderr_head,
        stderr_tail)
