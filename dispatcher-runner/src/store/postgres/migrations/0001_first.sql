-- The first schema. Runs in the store's own schema, which is first in the search path.
--
-- Spellings: state 0 queued, 1 running, 2 succeeded, 3 failed, 4 cancelled.
-- waits_for (queued jobs only, else 0): 0 nothing, 1 its due time, 2 a duplicate ahead of it.
-- Times are milliseconds since 1970 UTC by the database's clock. No foreign keys: every reference
-- is written and removed with its target, and checking each would lock a row per job.

-- The one clock that decides what is due and whose lease has run out.
CREATE FUNCTION clock() RETURNS bigint
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT pg_catalog.floor(extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint $$;

-- First half of the keys of this store's advisory locks. Second halves: 0 is held by whoever sends
-- jobs and wanted by whoever leaves for want of jobs; -1 by migrations; above 0 a dispatcher's id.
CREATE FUNCTION lock_class() RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path FROM CURRENT
AS $$ SELECT pg_catalog.hashtext('dispatcher ' || pg_catalog.current_schema()) $$;

-- Keys of jobs and sequence numbers come from one sequence, so that a job's first sequence number
-- is its key, and a later one is above every other.
CREATE SEQUENCE numbers;

-- Numbers of claims: what runs is looked for from the lowest that was seen running.
CREATE SEQUENCE claims;

-- What the newest build says of a dispatcher; rarely written. A claim locks the row of one with a
-- limit of concurrency.
CREATE TABLE dispatchers (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    build_modified_ns bigint NOT NULL,
    build_id text COLLATE "C" NOT NULL,
    options text NOT NULL,
    about text NOT NULL,
    max_queue bigint NOT NULL,
    concurrency bigint NOT NULL,
    on_duplicate text NOT NULL,
    paused boolean NOT NULL DEFAULT false
);

-- One queue label and priority of one dispatcher: all of its ready jobs are claimed in the order of
-- their numbers alone. Only ever inserted, so that nobody waits for it.
CREATE TABLE lanes (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dispatcher integer NOT NULL,
    queue text COLLATE "C" NOT NULL,
    rank integer NOT NULL,
    UNIQUE (dispatcher, queue, rank)
);

-- Unfinished jobs. Kept small: what was submitted stands in `requests`, what has ended in
-- `finished`, so that neither history nor payloads are rewritten or read by a claim.
-- `identity` only where somebody may look for it as a duplicate.
CREATE TABLE jobs (
    key bigint PRIMARY KEY,
    dispatcher integer NOT NULL,
    lane integer NOT NULL,
    seq bigint NOT NULL,
    state smallint NOT NULL,
    waits_for smallint NOT NULL,
    identity text COLLATE "C",
    submitted_at bigint NOT NULL,
    run_at bigint NOT NULL,
    expires_ms bigint,
    expires_at bigint,
    started_at bigint,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    token bigint NOT NULL,
    snoozes integer NOT NULL,
    lost integer NOT NULL,
    supervisor bigint,
    slot integer,
    claim bigint,
    build_modified_ns bigint NOT NULL,
    cancel_by text,
    progress double precision,
    progress_text text
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = -1,
    autovacuum_analyze_scale_factor = 0.2,
    autovacuum_vacuum_cost_delay = 0
);

-- Ready jobs of a lane in their order, and whether a lane has anything unfinished at all.
CREATE INDEX jobs_in_lane
ON jobs (lane, state, waits_for, seq);

CREATE INDEX jobs_due
ON jobs (run_at)
WHERE state = 0 AND waits_for = 1;

CREATE INDEX jobs_expiring
ON jobs (expires_at)
WHERE state = 0 AND expires_at IS NOT NULL;

CREATE INDEX jobs_running
ON jobs (dispatcher, claim)
WHERE state = 1;

CREATE INDEX jobs_held_by
ON jobs (supervisor)
WHERE state = 1;

CREATE INDEX jobs_watched
ON jobs (dispatcher, identity, waits_for, seq)
WHERE identity IS NOT NULL;

-- What was submitted; never updated.
CREATE TABLE requests (
    job bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    identity text NOT NULL,
    payload text NOT NULL,
    options text NOT NULL,
    origin text NOT NULL,
    build_modified_ns bigint NOT NULL,
    build_id text NOT NULL,
    retry_of text
);

-- Jobs that have ended; never updated.
CREATE TABLE finished (
    key bigint PRIMARY KEY,
    dispatcher integer NOT NULL,
    lane integer NOT NULL,
    state smallint NOT NULL,
    submitted_at bigint NOT NULL,
    run_at bigint NOT NULL,
    started_at bigint,
    ended_at bigint NOT NULL,
    attempt integer NOT NULL,
    failures integer NOT NULL,
    token bigint NOT NULL,
    snoozes integer NOT NULL,
    lost integer NOT NULL,
    cancel_by text,
    outcome text
);

CREATE INDEX finished_oldest
ON finished (dispatcher, ended_at, key);

CREATE TABLE outputs (
    job bigint PRIMARY KEY,
    dispatcher integer NOT NULL,
    number bigint NOT NULL DEFAULT nextval('numbers'),
    output text NOT NULL
);

CREATE INDEX outputs_newest
ON outputs (dispatcher, number);

CREATE TABLE attempts (
    job bigint NOT NULL,
    attempt integer NOT NULL,
    started_at bigint,
    ended_at bigint NOT NULL,
    run_us bigint NOT NULL,
    pid bigint,
    build text NOT NULL,
    outcome text NOT NULL,
    PRIMARY KEY (job, attempt)
);

-- Only for attempts that wrote something.
CREATE TABLE captures (
    job bigint NOT NULL,
    attempt integer NOT NULL,
    stdout_dropped bigint NOT NULL,
    stderr_dropped bigint NOT NULL,
    stdout_head bytea NOT NULL,
    stdout_tail bytea NOT NULL,
    stderr_head bytea NOT NULL,
    stderr_tail bytea NOT NULL,
    PRIMARY KEY (job, attempt)
);

-- Counters of a dispatcher: `tallies`, and what was added since. A transaction only ever inserts
-- its difference, so that submitters, claimers and completers never wait for each other here.
CREATE TABLE tallies (
    dispatcher integer PRIMARY KEY,
    waiting bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    finished bigint NOT NULL DEFAULT 0,
    mean_run_us double precision
);

CREATE TABLE differences (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dispatcher integer NOT NULL,
    waiting bigint NOT NULL,
    running bigint NOT NULL,
    finished bigint NOT NULL,
    runs bigint NOT NULL,
    run_us bigint NOT NULL
) WITH (
    autovacuum_vacuum_scale_factor = 0.1,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- Duplicates whose release had to be left to somebody else, because a submission was under way.
CREATE TABLE unsettled (
    dispatcher integer NOT NULL,
    identity text COLLATE "C" NOT NULL
);

-- What was decided about the ticks of schedules; it outlives the jobs of its ticks.
CREATE TABLE schedules (
    dispatcher integer PRIMARY KEY,
    record text
);

-- An identity column: an id is never used again, since a late caller may still name it.
-- `host` is the machine and state directory whose kernel locks prove it dead or alive.
CREATE TABLE supervisors (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    program text NOT NULL,
    build_modified_ns bigint NOT NULL,
    build_id text NOT NULL,
    pid bigint NOT NULL,
    slots bigint NOT NULL,
    directory bytea NOT NULL,
    host text NOT NULL,
    serves text NOT NULL,
    queues text NOT NULL,
    started_at bigint NOT NULL,
    open boolean NOT NULL,
    lease_until bigint
) WITH (fillfactor = 50);

-- Every job, as listings show it.
CREATE VIEW everything AS
SELECT key, dispatcher, lane, state, waits_for, submitted_at, run_at, started_at,
    NULL::bigint AS ended_at, attempt, failures, token, snoozes, lost, supervisor, slot, cancel_by,
    progress, progress_text, NULL::text AS outcome
FROM jobs
UNION ALL
SELECT key, dispatcher, lane, state, 0::smallint, submitted_at, run_at, started_at,
    ended_at, attempt, failures, token, snoozes, lost, NULL::bigint, NULL::integer, cancel_by,
    NULL::double precision, NULL::text, outcome
FROM finished;

-- Adds the differences up. Whoever comes while somebody does so leaves it to them.
CREATE FUNCTION fold(wanted integer) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    mean double precision;
    one record;
    total record;
BEGIN
    SELECT mean_run_us INTO mean
    FROM tallies
    WHERE dispatcher = wanted
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT 0::bigint AS waiting, 0::bigint AS running, 0::bigint AS finished INTO total;
    FOR one IN
        WITH gone AS (
            DELETE FROM differences
            WHERE dispatcher = wanted
            RETURNING id, waiting, running, finished, runs, run_us
        )
        SELECT waiting, running, finished, runs, run_us
        FROM gone
        ORDER BY id
    LOOP
        total.waiting := total.waiting + one.waiting;
        total.running := total.running + one.running;
        total.finished := total.finished + one.finished;
        mean := mean_after(mean, one.runs, one.run_us);
    END LOOP;
    UPDATE tallies
    SET waiting = waiting + total.waiting,
        running = running + total.running,
        finished = finished + total.finished,
        mean_run_us = mean
    WHERE dispatcher = wanted;
END
$$;

-- Mean run time after more attempts: recent ones weigh most, each a fifth.
CREATE FUNCTION mean_after(mean double precision, runs bigint, run_us bigint)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN runs = 0 THEN mean
        WHEN mean IS NULL THEN run_us::double precision / runs
        ELSE run_us::double precision / runs
            + (mean - run_us::double precision / runs) * 0.8 ^ LEAST(runs, 100)
    END
$$;

-- Counters of one dispatcher, as of the statement's snapshot.
CREATE FUNCTION tally(wanted integer)
RETURNS TABLE (waiting bigint, running bigint, finished bigint, mean_run_us bigint, pieces bigint)
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
DECLARE
    mean double precision;
    one record;
BEGIN
    SELECT t.waiting, t.running, t.finished, t.mean_run_us
    INTO waiting, running, finished, mean
    FROM tallies AS t
    WHERE t.dispatcher = wanted;
    pieces := 0;
    FOR one IN
        SELECT d.waiting, d.running, d.finished, d.runs, d.run_us
        FROM differences AS d
        WHERE d.dispatcher = wanted
        ORDER BY d.id
    LOOP
        waiting := waiting + one.waiting;
        running := running + one.running;
        finished := finished + one.finished;
        mean := mean_after(mean, one.runs, one.run_us);
        pieces := pieces + 1;
    END LOOP;
    mean_run_us := round(mean);
    RETURN NEXT;
END
$$;

-- The id of a dispatcher; one that nobody has registered gets the defaults, and gives way to any
-- build.
CREATE FUNCTION dispatcher_named(wanted text) RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    found_id integer;
BEGIN
    SELECT id INTO found_id
    FROM dispatchers
    WHERE name = wanted;
    IF found_id IS NULL THEN
        INSERT INTO dispatchers (
            name, build_modified_ns, build_id, options, about, max_queue, concurrency, on_duplicate
        )
        VALUES (wanted, -9223372036854775808, '', '{}', '', 10, 1, 'parallel')
        ON CONFLICT (name) DO NOTHING;
        SELECT id INTO STRICT found_id
        FROM dispatchers
        WHERE name = wanted;
        INSERT INTO tallies (dispatcher)
        VALUES (found_id)
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN found_id;
END
$$;

-- The lane of a job. Labels in use are few, so that it is mostly there.
CREATE FUNCTION lane_of(of_dispatcher integer, of_queue text, of_rank integer) RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    found_id integer;
BEGIN
    SELECT id INTO found_id
    FROM lanes
    WHERE dispatcher = of_dispatcher
        AND queue = of_queue
        AND rank = of_rank;
    IF found_id IS NULL THEN
        INSERT INTO lanes (dispatcher, queue, rank)
        VALUES (of_dispatcher, of_queue, of_rank)
        ON CONFLICT DO NOTHING;
        SELECT id INTO STRICT found_id
        FROM lanes
        WHERE dispatcher = of_dispatcher
            AND queue = of_queue
            AND rank = of_rank;
    END IF;
    RETURN found_id;
END
$$;

-- What makes two payloads duplicates: equal as JSON values, whoever sent them in whatever language.
CREATE FUNCTION identity_of(payload text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    RETURN 'json:' || to_hex(jsonb_hash_extended(payload::jsonb, 1))
        || '.' || to_hex(jsonb_hash_extended(payload::jsonb, 2));
EXCEPTION
    -- JSON that PostgreSQL cannot hold as a value: a zero in a string, or a number without end.
    WHEN data_exception OR program_limit_exceeded THEN
        RETURN 'text:' || md5(payload);
END
$$;
