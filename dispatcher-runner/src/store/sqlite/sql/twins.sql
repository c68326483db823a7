-- :dispatcher :identity. Two rows decide every policy; the first one survives a dropped
-- submission: the newest held job, else the newest of the others.
SELECT id
FROM jobs INDEXED BY jobs_unfinished
WHERE dispatcher = :dispatcher
    AND identity = :identity
    AND state < 2
    AND watched = 1
ORDER BY waits_for DESC, seq DESC
LIMIT 2
