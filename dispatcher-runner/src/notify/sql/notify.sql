-- $1: channel. $2: text. The function quotes what NOTIFY cannot.
SELECT pg_notify($1, $2)
