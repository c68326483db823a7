-- No parameters. Steps that were made.
SELECT COALESCE(MAX(number), 0)::bigint
FROM migrations
