-- :next. Written once per transaction, however many numbers were taken.
UPDATE sequence
SET next = :next
WHERE id = 1
