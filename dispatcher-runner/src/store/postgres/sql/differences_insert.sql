-- $1: dispatchers. $2 to $6: what is added to their counters.
INSERT INTO differences (dispatcher, waiting, running, finished, runs, run_us)
SELECT w.dispatcher, w.waiting, w.running, w.finished, w.runs, w.run_us
FROM unnest($1, $2, $3, $4, $5, $6) AS w (dispatcher, waiting, running, finished, runs, run_us)
