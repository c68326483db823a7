-- :now. Whether there is anything to take.
SELECT EXISTS (
    SELECT 1
    FROM callbacks INDEXED BY callbacks_due
    WHERE due_at <= :now
)
