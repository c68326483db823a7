-- Messages from outside: receipts, batches, callbacks.
--
-- Everything that hangs on a job is written in the transaction that stores it, and moves in the one
-- that ends it. A batch's row is small, because it is rewritten with every end of a job; what was
-- submitted stands beside it.

-- Messages that were acted on, so that none is acted on twice. `duplicates` says of each job whether
-- it was there already.
--
-- Keys rise and the oldest rows go first, so last - first + 1 is at least their number.
CREATE TABLE receipts (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sender text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    note text NOT NULL,
    jobs text[] NOT NULL,
    duplicates boolean[] NOT NULL,
    keep_until bigint NOT NULL,
    CONSTRAINT receipts_id UNIQUE (sender, id)
);

-- Jobs that came together. `succeeded` is total - pending - failed - cancelled.
CREATE TABLE batches (
    key bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    finished_at bigint,
    total integer NOT NULL,
    pending integer NOT NULL,
    failed integer NOT NULL,
    cancelled integer NOT NULL,
    CONSTRAINT batches_id UNIQUE (id)
) WITH (fillfactor = 50);

CREATE INDEX batches_finished
ON batches (finished_at)
WHERE finished_at IS NOT NULL;

-- The jobs of a batch, in their order; never updated.
CREATE TABLE batch_requests (
    batch bigint PRIMARY KEY,
    jobs text[] NOT NULL
);

-- The job that follows a batch, checked as it was submitted; its lane is there already, so that who
-- ends the last job waits for nobody who is making one.
CREATE TABLE followers (
    batch bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL,
    dispatcher integer NOT NULL,
    lane integer NOT NULL,
    identity text NOT NULL,
    payload text NOT NULL,
    delay bigint NOT NULL,
    expires_ms bigint,
    options text NOT NULL,
    origin text NOT NULL,
    build_modified_ns bigint NOT NULL,
    build_id text NOT NULL,
    retry_of text
);

-- Who is told that a job has ended. `due_at` is NULL until then.
CREATE TABLE callbacks (
    key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job bigint NOT NULL,
    id text NOT NULL,
    url text NOT NULL,
    sender text NOT NULL,
    due_at bigint,
    tries integer NOT NULL
);

CREATE INDEX callbacks_waiting
ON callbacks (job)
WHERE due_at IS NULL;

CREATE INDEX callbacks_due
ON callbacks (due_at, key)
WHERE due_at IS NOT NULL;

-- The batch of a job, and whether somebody is told of its end: all others are spared the look.
ALTER TABLE jobs
    ADD COLUMN batch bigint,
    ADD COLUMN called boolean NOT NULL DEFAULT false;

ALTER TABLE finished
    ADD COLUMN batch bigint;

CREATE OR REPLACE VIEW everything AS
SELECT key, dispatcher, lane, state, waits_for, submitted_at, run_at, started_at,
    NULL::bigint AS ended_at, attempt, failures, token, snoozes, lost, supervisor, slot, cancel_by,
    progress, progress_text, NULL::text AS outcome, batch
FROM jobs
UNION ALL
SELECT key, dispatcher, lane, state, 0::smallint, submitted_at, run_at, started_at,
    ended_at, attempt, failures, token, snoozes, lost, NULL::bigint, NULL::integer, cancel_by,
    NULL::double precision, NULL::text, outcome, batch
FROM finished;

-- Stores the job that follows a batch, whatever its queue and whatever its duplicates; answers
-- whether there is one.
CREATE FUNCTION follow(ended_batch bigint) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    present CONSTANT bigint := clock();
    new_key bigint;
    follower followers;
BEGIN
    follower := (SELECT f FROM followers AS f WHERE f.batch = ended_batch);
    IF follower.batch IS NULL THEN
        RETURN false;
    END IF;
    new_key := nextval('numbers');
    INSERT INTO jobs (
        key, dispatcher, lane, seq, state, waits_for, submitted_at, run_at, expires_ms, expires_at,
        attempt, failures, token, snoozes, lost, build_modified_ns
    )
    VALUES (
        new_key, follower.dispatcher, follower.lane, new_key, 0,
        CASE WHEN follower.delay > 0 THEN 1 ELSE 0 END, present, present + follower.delay,
        follower.expires_ms, present + follower.delay + follower.expires_ms, 0, 0, 0, 0, 0,
        follower.build_modified_ns
    );
    INSERT INTO requests (
        job, id, identity, payload, options, origin, build_modified_ns, build_id, retry_of
    )
    VALUES (
        new_key, follower.id, follower.identity, follower.payload, follower.options,
        follower.origin, follower.build_modified_ns, follower.build_id, follower.retry_of
    );
    INSERT INTO differences (dispatcher, waiting, running, finished, runs, run_us)
    VALUES (follower.dispatcher, 1, 0, 0, 0, 0);
    RETURN true;
END
$$;

-- Counts the ends of jobs of batches. Rows are locked in the order of their keys, once in a
-- transaction, so that two who end jobs of the same batches never wait for each other in a circle;
-- who ends the last job of a batch sees that it is the last. What follows comes in the order of
-- these. Answers whether anything did.
CREATE FUNCTION count_ends(
    batch_keys bigint[],
    all_ended integer[],
    all_failed integer[],
    all_cancelled integer[],
    all_last integer[]
) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    one record;
    still_pending integer;
    finished_keys bigint[] := '{}';
    finished_last integer[] := '{}';
    followed boolean := false;
BEGIN
    FOR one IN
        SELECT e.batch, e.ended, e.failed, e.cancelled, e.last
        FROM unnest(batch_keys, all_ended, all_failed, all_cancelled, all_last)
            AS e (batch, ended, failed, cancelled, last)
        ORDER BY e.batch
    LOOP
        UPDATE batches
        SET pending = pending - one.ended,
            failed = failed + one.failed,
            cancelled = cancelled + one.cancelled,
            finished_at = CASE WHEN pending = one.ended THEN clock() END
        WHERE key = one.batch
        RETURNING pending INTO still_pending;
        IF still_pending = 0 THEN
            finished_keys := finished_keys || one.batch;
            finished_last := finished_last || one.last;
        END IF;
    END LOOP;
    FOR one IN
        SELECT f.batch
        FROM unnest(finished_keys, finished_last) AS f (batch, last)
        ORDER BY f.last
    LOOP
        followed := follow(one.batch) OR followed;
    END LOOP;
    RETURN followed;
END
$$;

-- Makes a batch of jobs that are stored; duplicates stay what they were.
CREATE FUNCTION make_batch(wanted jsonb, own text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    present CONSTANT bigint := clock();
    total CONSTANT integer := cardinality(own);
    last CONSTANT jsonb := wanted -> 'on_finished';
    new_key CONSTANT bigint := nextval('numbers');
    last_dispatcher integer;
BEGIN
    INSERT INTO batches (key, id, created_at, finished_at, total, pending, failed, cancelled)
    VALUES (
        new_key, wanted ->> 'id', present, CASE WHEN total = 0 THEN present END, total, total, 0, 0
    );
    INSERT INTO batch_requests (batch, jobs)
    VALUES (new_key, own);
    UPDATE jobs AS j
    SET batch = new_key
    FROM requests AS r
    WHERE r.id = ANY (own)
        AND j.key = r.job;
    IF last IS NOT NULL THEN
        last_dispatcher := dispatcher_named(last ->> 'name');
        INSERT INTO followers (
            batch, id, dispatcher, lane, identity, payload, delay, expires_ms, options, origin,
            build_modified_ns, build_id, retry_of
        )
        VALUES (
            new_key, last ->> 'id', last_dispatcher,
            lane_of(last_dispatcher, last ->> 'queue', (last ->> 'rank')::integer),
            COALESCE(last ->> 'identity', ''), last ->> 'payload', (last ->> 'delay')::bigint,
            (last ->> 'expires')::bigint, last ->> 'options', last ->> 'origin',
            (last ->> 'build')::bigint, last ->> 'build_id', last ->> 'retry_of'
        );
    END IF;
    IF total = 0 THEN
        PERFORM follow(new_key);
    END IF;
END
$$;

-- Notes who is told of the ends of jobs, which are stored or survive; `of_jobs` are ids in the order
-- of the group. A survivor may be ending just now: its row is waited for, and if it is gone by then
-- the callback is due at once.
CREATE FUNCTION ask_back(wanted jsonb, of_jobs text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    asked text[];
BEGIN
    asked := ARRAY(
        SELECT of_jobs[(w.value ->> 'job')::integer + 1]
        FROM jsonb_array_elements(wanted) AS w (value)
    );
    PERFORM j.key
    FROM requests AS r
    JOIN jobs AS j ON j.key = r.job
    WHERE r.id = ANY (asked)
    ORDER BY j.key
    FOR UPDATE OF j;
    UPDATE jobs AS j
    SET called = true
    FROM requests AS r
    WHERE r.id = ANY (asked)
        AND j.key = r.job;
    INSERT INTO callbacks (job, id, url, sender, due_at, tries)
    SELECT r.job, r.id, w.value ->> 'url', w.value ->> 'sender',
        CASE WHEN j.key IS NULL THEN clock() END, 0
    FROM jsonb_array_elements(wanted) WITH ORDINALITY AS w (value, number)
    JOIN requests AS r ON r.id = of_jobs[(w.value ->> 'job')::integer + 1]
    LEFT JOIN jobs AS j ON j.key = r.job
    ORDER BY w.number;
END
$$;

-- What a message is answered that is on record, and nothing if it is not. A row with `replay_of` is
-- the note; there is none if the same call wrote the receipt before its connection died.
CREATE FUNCTION answer_again(receipt jsonb, resumed boolean, ids text[])
RETURNS TABLE (id text, duplicate boolean, refusal text, replay_of text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    known receipts;
BEGIN
    known := (
        SELECT r
        FROM receipts AS r
        WHERE r.sender = receipt ->> 'sender'
            AND r.id = receipt ->> 'id'
    );
    IF known.key IS NULL THEN
        RETURN;
    END IF;
    IF known.hash <> decode(receipt ->> 'hash', 'hex') THEN
        refusal := '"other_message"';
        RETURN NEXT;
        RETURN;
    END IF;
    IF NOT resumed OR NOT EXISTS (SELECT 1 FROM requests AS r WHERE r.id = ANY (ids)) THEN
        replay_of := known.note;
        RETURN NEXT;
    END IF;
    RETURN QUERY
    SELECT k.job, k.duplicate, NULL::text, NULL::text
    FROM unnest(known.jobs, known.duplicates) AS k (job, duplicate);
END
$$;

-- Removes receipts whose time is over, a bounded number of the oldest; answers whether there is room
-- for one more. Two who come at the same moment may both find the last place.
CREATE FUNCTION room_for_receipt(count_max bigint) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF (SELECT r.keep_until FROM receipts AS r ORDER BY r.key LIMIT 1) <= clock() THEN
        DELETE FROM receipts
        WHERE key IN (
            SELECT r.key
            FROM receipts AS r
            ORDER BY r.key
            LIMIT 64
            FOR UPDATE SKIP LOCKED
        )
            AND keep_until <= (SELECT clock());
    END IF;
    RETURN COALESCE(
        (SELECT r.key FROM receipts AS r ORDER BY r.key DESC LIMIT 1)
            - (SELECT r.key FROM receipts AS r ORDER BY r.key LIMIT 1) + 1,
        0
    ) < count_max;
END
$$;

-- One group with what belongs to its message, all or nothing. `message` may have `receipt`, `batch`
-- and `callbacks`; `refusal` is JSON. The same message through another service is stopped by the
-- unique index: it waits for the first one's commit, takes back what it did, and answers the same.
CREATE FUNCTION submit_message(
    message jsonb,
    resumed boolean,
    rows_name text[],
    rows_build bigint[],
    rows_build_id text[],
    rows_options text[],
    rows_about text[],
    rows_max_queue bigint[],
    rows_concurrency bigint[],
    rows_on_duplicate text[],
    ids text[],
    names text[],
    payloads text[],
    identities text[],
    keyed boolean[],
    queues text[],
    ranks integer[],
    delays bigint[],
    expiries bigint[],
    all_options text[],
    origins text[],
    builds bigint[],
    build_ids text[],
    retries_of text[]
) RETURNS TABLE (id text, duplicate boolean, refusal text, replay_of text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    receipt CONSTANT jsonb := message -> 'receipt';
    new_batch CONSTANT jsonb := message -> 'batch';
    stored_ids text[];
    stored_duplicates boolean[];
    of_before text[];
    refused jsonb;
    constrained text;
BEGIN
    IF receipt IS NOT NULL THEN
        RETURN QUERY
        SELECT a.id, a.duplicate, a.refusal, a.replay_of
        FROM answer_again(receipt, resumed, ids) AS a;
        IF FOUND THEN
            RETURN;
        END IF;
        IF NOT room_for_receipt((receipt ->> 'count_max')::bigint) THEN
            refusal := jsonb_build_object('no_room', jsonb_build_object(
                'count_max', receipt -> 'count_max'));
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    IF new_batch IS NOT NULL THEN
        of_before := (
            SELECT q.jobs
            FROM batches AS b
            JOIN batch_requests AS q ON q.batch = b.key
            WHERE b.id = new_batch ->> 'id'
        );
        IF of_before IS NOT NULL AND NOT (resumed AND of_before && ids) THEN
            refusal := jsonb_build_object('batch_exists', jsonb_build_object('id', new_batch -> 'id'));
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    BEGIN
        PERFORM register(r.name, r.build, r.build_id, r.options, r.about, r.max_queue,
            r.concurrency, r.on_duplicate)
        FROM unnest(rows_name, rows_build, rows_build_id, rows_options, rows_about, rows_max_queue,
            rows_concurrency, rows_on_duplicate)
            AS r (name, build, build_id, options, about, max_queue, concurrency, on_duplicate);
        SELECT COALESCE(array_agg(s.id ORDER BY s.number), '{}'),
            COALESCE(array_agg(s.duplicate ORDER BY s.number), '{}')
        INTO stored_ids, stored_duplicates
        FROM store_jobs(resumed, ids, names, payloads, identities, keyed, queues, ranks, delays,
            expiries, all_options, origins, builds, build_ids, retries_of)
            WITH ORDINALITY AS s (id, duplicate, number);
        IF new_batch IS NOT NULL AND of_before IS NULL THEN
            PERFORM make_batch(new_batch, ARRAY(
                SELECT s.id
                FROM unnest(stored_ids, stored_duplicates) WITH ORDINALITY
                    AS s (id, duplicate, number)
                WHERE NOT s.duplicate
                ORDER BY s.number
            ));
        END IF;
        IF message ? 'callbacks' THEN
            PERFORM ask_back(message -> 'callbacks', stored_ids);
        END IF;
        IF receipt IS NOT NULL THEN
            INSERT INTO receipts (sender, id, hash, note, jobs, duplicates, keep_until)
            VALUES (
                receipt ->> 'sender', receipt ->> 'id', decode(receipt ->> 'hash', 'hex'),
                receipt ->> 'note', stored_ids, stored_duplicates,
                clock() + (receipt ->> 'keep')::bigint
            );
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'DQ001' THEN
            GET STACKED DIAGNOSTICS constrained = PG_EXCEPTION_DETAIL;
            refused := jsonb_build_object('full', constrained::jsonb);
        WHEN unique_violation THEN
            GET STACKED DIAGNOSTICS constrained = CONSTRAINT_NAME;
            refused := CASE constrained
                WHEN 'requests_id_key' THEN '"known"'
                WHEN 'batches_id' THEN
                    jsonb_build_object('batch_exists', jsonb_build_object('id', new_batch -> 'id'))
                WHEN 'receipts_id' THEN '"twin"'
            END;
            IF refused IS NULL THEN
                RAISE;
            END IF;
    END;
    IF refused IS NULL THEN
        RETURN QUERY
        SELECT s.id, s.duplicate, NULL::text, NULL::text
        FROM unnest(stored_ids, stored_duplicates) AS s (id, duplicate);
        RETURN;
    END IF;
    -- Perhaps because its twin was faster, which is no refusal.
    IF receipt IS NOT NULL THEN
        RETURN QUERY
        SELECT a.id, a.duplicate, a.refusal, a.replay_of
        FROM answer_again(receipt, false, ids) AS a;
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    refusal := refused;
    RETURN NEXT;
END
$$;
