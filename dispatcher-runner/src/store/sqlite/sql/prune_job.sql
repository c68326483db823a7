-- :key. Terminal states only: a pruner may never take an unfinished job.
DELETE FROM jobs
WHERE key = :key
    AND state >= 2
