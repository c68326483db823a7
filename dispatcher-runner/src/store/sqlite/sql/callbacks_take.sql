-- :now :until :limit. The first that are due, held until another instant.
UPDATE callbacks
SET due_at = :until,
    tries = tries + 1
WHERE key IN (
        SELECT key
        FROM callbacks INDEXED BY callbacks_due
        WHERE due_at <= :now
        ORDER BY due_at, key
        LIMIT :limit
    )
RETURNING key, id, url, sender, tries
