-- $1: dispatchers. $2: identities of jobs that have ended.
SELECT release_held($1, $2)
