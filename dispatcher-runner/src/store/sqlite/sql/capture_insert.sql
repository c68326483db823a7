-- :job :attempt :stdout_dropped :stderr_dropped :stdout_head :stdout_tail :stderr_head
-- :stderr_tail.
INSERT INTO captures (
    job, attempt, stdout_dropped, stderr_dropped, stdout_head, stdout_tail, stderr_head, stderr_tail
)
VALUES (
    :job, :attempt, :stdout_dropped, :stderr_dropped,
    :stdout_head, :stdout_tail, :stderr_head, :stderr_tail
)
