-- :program :build_modified_ns :build_id :pid :slots :directory :serves :now.
INSERT INTO supervisors (
    program, build_modified_ns, build_id, pid, slots, directory, serves, started_at, open
)
VALUES (
    :program, :build_modified_ns, :build_id, :pid, :slots, :directory, :serves, :now, 1
)
RETURNING id
