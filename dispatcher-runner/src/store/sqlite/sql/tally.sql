-- :dispatcher. Read once per dispatcher and transaction, then kept in memory until the flush.
SELECT waiting, running, finished, mean_run_us, latest_output
FROM tallies
WHERE dispatcher = :dispatcher
