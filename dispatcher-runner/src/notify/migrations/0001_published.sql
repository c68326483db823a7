-- Where our publisher leaves what it sends. Whoever may notify may leave a message.
BEGIN;
SELECT pg_advisory_xact_lock(HASHTEXT('dispatcher_wire'), 0);
CREATE SCHEMA IF NOT EXISTS dispatcher_wire;
CREATE TABLE IF NOT EXISTS dispatcher_wire.published (
    id TEXT PRIMARY KEY,
    channel TEXT NOT NULL,
    message TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    taken BOOLEAN NOT NULL DEFAULT FALSE
);
CREATE INDEX IF NOT EXISTS published_at ON dispatcher_wire.published (at);
GRANT USAGE ON SCHEMA dispatcher_wire TO PUBLIC;
GRANT INSERT (id, channel, message) ON dispatcher_wire.published TO PUBLIC;
COMMIT;
