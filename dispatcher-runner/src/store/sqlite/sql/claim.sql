-- :key :supervisor :slot :now. Transition Claim.
UPDATE jobs
SET state = 1,
    supervisor = :supervisor,
    slot = :slot,
    started_at = :now,
    attempt = attempt + 1,
    token = token + 1
WHERE key = :key
    AND state = 0
    AND waits_for = 0
RETURNING id, attempt, failures, token, snoozes, dispatcher, queue, run_at
