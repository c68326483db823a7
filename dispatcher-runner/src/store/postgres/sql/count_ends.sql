-- $1: batches. $2: jobs that have ended. $3: failed. $4: cancelled ones among them.
-- $5: the place of the last of them among all.
SELECT count_ends($1, $2, $3, $4, $5)
