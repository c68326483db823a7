-- :key :id :dispatcher :queue :identity :watched :waits_for :rank :submitted_at :run_at
-- :expires_ms :expires_at :batch. The first sequence number is the key.
INSERT INTO jobs (
    key, id, dispatcher, queue, identity, watched, state, waits_for, rank, seq, submitted_at,
    run_at, expires_ms, expires_at, attempt, failures, token, snoozes, lost, batch
)
VALUES (
    :key, :id, :dispatcher, :queue, :identity, :watched, 0, :waits_for, :rank, :key, :submitted_at,
    :run_at, :expires_ms, :expires_at, 0, 0, 0, 0, 0, :batch
)
