-- :dispatcher. When a dispatcher begins to look for duplicates, its older jobs count too. Reads
-- every job, which a change of that option in a new build is rare enough for.
UPDATE jobs
SET watched = 1
WHERE dispatcher = :dispatcher
    AND state < 2
    AND watched = 0
