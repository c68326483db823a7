-- :id. What a cancellation must know before it decides.
SELECT key, state, dispatcher, queue, identity, watched, waits_for, supervisor, batch, called
FROM jobs
WHERE id = :id
