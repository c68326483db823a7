-- :id :attempt. An attempt without a row in `captures` wrote nothing.
SELECT c.stdout_dropped, c.stderr_dropped, c.stdout_head, c.stdout_tail, c.stderr_head,
    c.stderr_tail
FROM jobs AS j
JOIN attempts AS a ON a.job = j.key AND a.attempt = :attempt
LEFT JOIN captures AS c ON c.job = a.job AND c.attempt = a.attempt
WHERE j.id = :id
