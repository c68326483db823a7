-- :key :state :now :outcome. Transitions Cancel and Expire of a queued job; `outcome` stands here
-- because no attempt has it.
UPDATE jobs
SET state = :state,
    waits_for = 0,
    ended_at = :now,
    outcome = :outcome
WHERE key = :key
    AND state = 0
