-- No parameters. Steps that were made.
SELECT CAST(COALESCE(MAX(number), 0) AS bigint)
FROM migrations
