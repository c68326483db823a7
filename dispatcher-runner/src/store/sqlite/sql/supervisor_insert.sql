-- :program :build_modified_ns :build_id :pid :slots :directory :serves :queues :now.
INSERT INTO supervisors (
    program, build_modified_ns, build_id, pid, slots, directory, serves, queues,
    started_at, open
)
VALUES (
    :program, :build_modified_ns, :build_id, :pid, :slots, :directory, :serves, :queues,
    :now, 1
)
RETURNING id
