-- $1: id. $2: attempt. An attempt without a row in `captures` wrote nothing.
SELECT c.stdout_dropped, c.stderr_dropped, c.stdout_head, c.stdout_tail, c.stderr_head,
    c.stderr_tail
FROM requests AS r
JOIN attempts AS a ON a.job = r.job AND a.attempt = $2
LEFT JOIN captures AS c ON c.job = a.job AND c.attempt = a.attempt
WHERE r.id = $1
