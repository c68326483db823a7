-- :dispatcher :waiting :running :finished :mean_run_us :latest_output. Absolute values are safe:
-- they were read under the same write lock. `paused` is not touched.
UPDATE tallies
SET waiting = :waiting,
    running = :running,
    finished = :finished,
    mean_run_us = :mean_run_us,
    latest_output = :latest_output
WHERE dispatcher = :dispatcher
