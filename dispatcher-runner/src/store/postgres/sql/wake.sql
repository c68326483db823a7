-- $1: channel. Says nothing but "look": losing it costs a poll interval.
SELECT pg_notify($1, '')
