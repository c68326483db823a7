-- :id. What a submission is compared with: the least that a job needs, in one row.
INSERT INTO jobs (id, name, payload)
VALUES (:id, 'Noop', '{}')
