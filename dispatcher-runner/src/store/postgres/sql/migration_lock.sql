-- $1: the schema. One program at a time; the schema itself may not be there to lock.
SELECT pg_advisory_xact_lock(hashtext('dispatcher ' || $1), -1)
