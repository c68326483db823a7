-- :supervisor. Everything a dead supervisor held, in its old order.
SELECT j.key, j.id, j.dispatcher, j.queue, j.identity, j.watched, j.token, j.attempt, j.lost,
    j.cancel_by, j.started_at, r.options, s.build_id, j.batch, j.called
FROM jobs AS j INDEXED BY jobs_running
JOIN requests AS r ON r.job = j.key
LEFT JOIN supervisors AS s ON s.id = j.supervisor
WHERE j.supervisor = :supervisor
    AND j.state = 1
ORDER BY j.seq
