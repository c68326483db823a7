-- :job :output. A job succeeds once, so there is never a row to replace.
INSERT INTO outputs (job, output)
VALUES (:job, :output)
