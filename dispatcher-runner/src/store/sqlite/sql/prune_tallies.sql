-- No parameters. Where there may be something to prune.
SELECT dispatcher, finished, latest_output
FROM tallies
WHERE finished > 0
ORDER BY dispatcher
