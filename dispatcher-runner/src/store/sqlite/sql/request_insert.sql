-- :job :payload :options :origin :build_modified_ns :build_id :retry_of. Never updated.
INSERT INTO requests (job, payload, options, origin, build_modified_ns, build_id, retry_of)
VALUES (:job, :payload, :options, :origin, :build_modified_ns, :build_id, :retry_of)
