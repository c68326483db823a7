-- No parameters. Takes the lock that senders share, or says that one of them holds it: a sender's
-- transaction may be anybody's and long, and is not waited for.
SELECT pg_try_advisory_xact_lock(lock_class(), 0)
