-- No parameters. Keys rise with submissions, so the first queued one is the oldest.
SELECT submitted_at
FROM jobs
WHERE state = 0
ORDER BY key
LIMIT 1
