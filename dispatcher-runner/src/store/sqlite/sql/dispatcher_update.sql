-- :id :build_modified_ns :build_id :options :about. The caller has checked that this build is
-- no older than the stored one, inside the same write transaction.
UPDATE dispatchers
SET build_modified_ns = :build_modified_ns,
    build_id = :build_id,
    options = :options,
    about = :about
WHERE id = :id
