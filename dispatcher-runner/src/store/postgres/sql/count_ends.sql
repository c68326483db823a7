-- $1: batches. $2: jobs that have ended. $3: failed. $4: cancelled ones among them.
SELECT count_ends($1, $2, $3, $4)
