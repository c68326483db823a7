-- :job. What a worker needs.
SELECT payload, options
FROM requests
WHERE job = :job
