-- $1: keys. $2: dispatchers. $3: outputs. A job succeeds once, so there is never a row to replace.
INSERT INTO outputs (job, dispatcher, output)
SELECT w.job, w.dispatcher, w.output
FROM unnest($1, $2, $3) AS w (job, dispatcher, output)
