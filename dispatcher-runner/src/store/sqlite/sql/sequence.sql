-- No parameters. Read once per transaction; the write lock keeps it valid.
SELECT next
FROM sequence
WHERE id = 1
