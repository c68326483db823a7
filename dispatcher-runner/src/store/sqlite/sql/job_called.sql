-- :id. Somebody is told of its end.
UPDATE jobs
SET called = 1
WHERE id = :id
