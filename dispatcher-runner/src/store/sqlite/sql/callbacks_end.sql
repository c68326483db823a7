-- :job :now. The job has ended.
UPDATE callbacks INDEXED BY callbacks_waiting
SET due_at = :now
WHERE job = :job
    AND due_at IS NULL
