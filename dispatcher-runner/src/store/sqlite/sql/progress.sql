-- :id :token :fraction :text. Touches no index.
UPDATE jobs
SET progress = :fraction,
    progress_text = :text
WHERE id = :id
    AND state = 1
    AND token = :token
