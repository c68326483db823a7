-- $1: channel. True in one session at a time; the lock ends with the session.
SELECT pg_try_advisory_lock(HASHTEXT('dispatcher channel'), HASHTEXT($1))
