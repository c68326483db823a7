-- :key :id :url :sender. Of a job that is there; of one that has ended nobody is told.
INSERT INTO callbacks (key, job, id, url, sender, tries)
SELECT :key, j.key, j.id, :url, :sender, 0
FROM jobs AS j
WHERE j.id = :id
