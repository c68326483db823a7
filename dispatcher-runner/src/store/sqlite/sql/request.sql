-- :job. What a worker needs.
SELECT payload, options, build_modified_ns
FROM requests
WHERE job = :job
