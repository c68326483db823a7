-- No parameters. Whether there is anything to take.
SELECT EXISTS (
    SELECT 1
    FROM callbacks
    WHERE due_at <= (SELECT clock())
)
