-- :key :token :state :now :outcome. Transitions Succeed, Fail and Cancel of a running job;
-- `outcome` only if it differs from the last attempt's.
UPDATE jobs
SET state = :state,
    ended_at = :now,
    outcome = :outcome,
    progress = NULL,
    progress_text = NULL,
    supervisor = NULL,
    slot = NULL
WHERE key = :key
    AND state = 1
    AND token = :token
