-- Submission: one implementation for the program's own jobs and for those of any SQL client.

-- Stores jobs, in their order. Refuses by an exception: DQ001 when a queue is full (the detail is
-- JSON), DQ002 for what can never work. The limit of the queue and the look for duplicates hold
-- because everybody who sends to such a dispatcher waits for its lock here; who only completes
-- never does. Locks are taken in the order of names.
CREATE FUNCTION store_jobs(
    resumed boolean,
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
) RETURNS TABLE (id text, duplicate boolean)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    present bigint := clock();
    one record;
    known dispatchers;
    last_name text;
    policy text;
    own_policy text;
    new_dispatcher integer;
    new_lane integer;
    new_key bigint;
    new_identity text;
    new_waits_for smallint;
    new_run_at bigint;
    twins text[];
    counted record;
    rooms jsonb := '{}';
    counts jsonb := '{}';
BEGIN
    PERFORM pg_advisory_xact_lock_shared(lock_class(), 0);
    FOR one IN
        -- A job may say itself what it does about duplicates.
        SELECT j.name, bool_or(j.keyed OR j.options LIKE '%"on_duplicate":"%') AS any_watched
        FROM unnest(names, keyed, all_options) AS j (name, keyed, options)
        GROUP BY j.name
        ORDER BY j.name COLLATE "C"
    LOOP
        new_dispatcher := dispatcher_named(one.name);
        known := (SELECT d FROM dispatchers AS d WHERE d.id = new_dispatcher);
        CONTINUE WHEN known.max_queue = 0 AND known.on_duplicate = 'parallel' AND NOT one.any_watched;
        IF current_setting('transaction_isolation') <> 'read committed' THEN
            RAISE EXCEPTION 'jobs of % cannot be sent at isolation level %', one.name,
                current_setting('transaction_isolation')
            USING ERRCODE = 'DQ002',
                HINT = 'its queue has a limit or looks for duplicates: use READ COMMITTED';
        END IF;
        PERFORM pg_advisory_xact_lock(lock_class(), known.id);
        IF known.max_queue > 0 THEN
            SELECT t.waiting, t.running, t.mean_run_us, t.pieces INTO counted
            FROM tally(known.id) AS t;
            IF counted.pieces > 256 THEN
                PERFORM fold(known.id);
            END IF;
            rooms := rooms || jsonb_build_object(
                known.id::text,
                jsonb_build_object('unfinished', counted.waiting + counted.running,
                    'mean_run_us', counted.mean_run_us));
        END IF;
    END LOOP;
    FOR one IN
        SELECT j.id, j.name, j.payload, j.identity, j.keyed, j.queue, j.rank, j.delay, j.expires,
            j.options, j.origin, j.build, j.build_id, j.retry_of
        FROM unnest(ids, names, payloads, identities, keyed, queues, ranks, delays, expiries,
            all_options, origins, builds, build_ids, retries_of)
            AS j (id, name, payload, identity, keyed, queue, rank, delay, expires, options, origin,
                build, build_id, retry_of)
    LOOP
        id := one.id;
        duplicate := false;
        IF resumed AND EXISTS (SELECT 1 FROM requests AS r WHERE r.id = one.id) THEN
            -- Stored by the same call before its connection died.
            RETURN NEXT;
            CONTINUE;
        END IF;
        IF one.name IS DISTINCT FROM last_name THEN
            known := (SELECT d FROM dispatchers AS d WHERE d.name = one.name);
            last_name := one.name;
        END IF;
        own_policy := CASE
            WHEN one.options LIKE '%"on_duplicate":"%' THEN one.options::jsonb ->> 'on_duplicate'
        END;
        policy := CASE
            WHEN own_policy IS NOT NULL THEN own_policy
            WHEN known.on_duplicate = 'parallel' AND one.keyed THEN 'discard'
            ELSE known.on_duplicate
        END;
        new_identity := COALESCE(one.identity, '');
        new_waits_for := 0;
        IF policy <> 'parallel' OR own_policy IS NOT NULL THEN
            new_identity := COALESCE(one.identity, identity_of(one.payload));
        END IF;
        IF policy <> 'parallel' THEN
            -- Two rows decide every policy; the first one survives a dropped submission.
            twins := ARRAY(
                SELECT r.id
                FROM (
                    SELECT j.key, j.waits_for, j.seq
                    FROM jobs AS j
                    WHERE j.dispatcher = known.id
                        AND j.identity = new_identity
                    ORDER BY j.waits_for DESC, j.seq DESC
                    LIMIT 2
                ) AS t
                JOIN requests AS r ON r.job = t.key
                ORDER BY t.waits_for DESC, t.seq DESC
            );
            IF cardinality(twins) > 0 THEN
                IF policy = 'discard' OR policy = 'queue_one' AND cardinality(twins) > 1 THEN
                    id := twins[1];
                    duplicate := true;
                    RETURN NEXT;
                    CONTINUE;
                END IF;
                new_waits_for := 2;
            END IF;
        END IF;
        IF known.max_queue > 0 AND (rooms -> known.id::text ->> 'unfinished')::bigint
            + COALESCE((counts ->> known.id::text)::bigint, 0) >= known.max_queue THEN
            RAISE EXCEPTION 'the queue of % is full: % of % jobs are unfinished', one.name,
                (rooms -> known.id::text ->> 'unfinished')::bigint
                    + COALESCE((counts ->> known.id::text)::bigint, 0),
                known.max_queue
            USING ERRCODE = 'DQ001',
                DETAIL = jsonb_build_object(
                    'dispatcher', one.name,
                    'max_queue', known.max_queue,
                    'unfinished', (rooms -> known.id::text ->> 'unfinished')::bigint
                        + COALESCE((counts ->> known.id::text)::bigint, 0),
                    'concurrency', known.concurrency,
                    'mean_run_us', rooms -> known.id::text -> 'mean_run_us')::text;
        END IF;
        new_run_at := present + one.delay;
        IF new_waits_for = 0 AND one.delay > 0 THEN
            new_waits_for := 1;
        END IF;
        new_lane := lane_of(known.id, one.queue, one.rank);
        new_key := nextval('numbers');
        INSERT INTO jobs (
            key, dispatcher, lane, seq, state, waits_for, identity, submitted_at, run_at,
            expires_ms, expires_at, attempt, failures, token, snoozes, lost, build_modified_ns
        )
        VALUES (
            new_key, known.id, new_lane, new_key, 0, new_waits_for,
            CASE WHEN policy <> 'parallel' OR own_policy IS NOT NULL THEN new_identity END, present, new_run_at,
            one.expires, new_run_at + one.expires, 0, 0, 0, 0, 0, one.build
        );
        INSERT INTO requests (
            job, id, identity, payload, options, origin, build_modified_ns, build_id, retry_of
        )
        VALUES (
            new_key, one.id, new_identity, one.payload, one.options, one.origin, one.build,
            one.build_id, one.retry_of
        );
        counts := counts || jsonb_build_object(
            known.id::text, COALESCE((counts ->> known.id::text)::bigint, 0) + 1);
        RETURN NEXT;
    END LOOP;
    INSERT INTO differences (dispatcher, waiting, running, finished, runs, run_us)
    SELECT c.key::integer, c.value::bigint, 0, 0, 0, 0
    FROM jsonb_each_text(counts) AS c;
END
$$;

-- Inserts or refreshes the row of a dispatcher; an older build never replaces a newer one, and
-- nothing is written when there is nothing new. When it begins to look for duplicates, its older
-- jobs count too.
CREATE FUNCTION register(
    new_name text,
    new_build bigint,
    new_build_id text,
    new_options text,
    new_about text,
    new_max_queue bigint,
    new_concurrency bigint,
    new_on_duplicate text
) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    stored dispatchers;
    new_id integer;
BEGIN
    stored := (SELECT d FROM dispatchers AS d WHERE d.name = new_name);
    IF stored.id IS NULL THEN
        new_id := dispatcher_named(new_name);
        stored := (SELECT d FROM dispatchers AS d WHERE d.id = new_id);
    END IF;
    IF (new_build, new_build_id COLLATE "C") < (stored.build_modified_ns, stored.build_id)
        OR (new_build, new_build_id, new_options, new_about)
            = (stored.build_modified_ns, stored.build_id, stored.options, stored.about) THEN
        RETURN;
    END IF;
    UPDATE dispatchers
    SET build_modified_ns = new_build,
        build_id = new_build_id,
        options = new_options,
        about = new_about,
        max_queue = new_max_queue,
        concurrency = new_concurrency,
        on_duplicate = new_on_duplicate
    WHERE id = stored.id
        AND (build_modified_ns, build_id) <= (new_build, new_build_id COLLATE "C");
    IF FOUND AND new_on_duplicate <> 'parallel' AND stored.on_duplicate = 'parallel' THEN
        UPDATE jobs AS j
        SET identity = CASE
                WHEN r.identity = '' THEN identity_of(r.payload)
                ELSE r.identity
            END
        FROM requests AS r
        WHERE r.job = j.key
            AND j.dispatcher = stored.id
            AND j.identity IS NULL;
    END IF;
END
$$;

-- Lets the first held duplicate of ended jobs go, once nothing is ahead of it. It may not wait for
-- a submission under way, whose transaction may be anybody's: then it is left to a later claim.
CREATE FUNCTION release_held(ended_of integer[], ended_identities text[]) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    one record;
    present bigint := clock();
BEGIN
    FOR one IN
        SELECT DISTINCT e.dispatcher, e.identity
        FROM unnest(ended_of, ended_identities) AS e (dispatcher, identity)
        ORDER BY e.dispatcher, e.identity
    LOOP
        IF NOT pg_try_advisory_xact_lock(lock_class(), one.dispatcher) THEN
            INSERT INTO unsettled (dispatcher, identity)
            VALUES (one.dispatcher, one.identity);
            CONTINUE;
        END IF;
        UPDATE jobs
        SET waits_for = CASE WHEN run_at <= present THEN 0 ELSE 1 END
        WHERE key = (
                SELECT held.key
                FROM jobs AS held
                WHERE held.dispatcher = one.dispatcher
                    AND held.identity = one.identity
                    AND held.waits_for = 2
                ORDER BY held.seq
                LIMIT 1
            )
            AND NOT EXISTS (
                SELECT 1
                FROM jobs AS ahead
                WHERE ahead.dispatcher = one.dispatcher
                    AND ahead.identity = one.identity
                    AND ahead.waits_for IN (0, 1)
            );
    END LOOP;
END
$$;

-- Releases what was left; what is still in the way stays for the next time.
CREATE FUNCTION settle() RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        WITH taken AS (
            DELETE FROM unsettled
            WHERE ctid IN (SELECT u.ctid FROM unsettled AS u LIMIT 1000 FOR UPDATE SKIP LOCKED)
            RETURNING dispatcher, identity
        )
        SELECT array_agg(dispatcher) AS dispatchers, array_agg(identity) AS identities
        FROM taken
    LOOP
        IF one.dispatchers IS NOT NULL THEN
            PERFORM release_held(one.dispatchers, one.identities);
        END IF;
    END LOOP;
END
$$;

-- One group of a program's own jobs, all or nothing. What is refused is answered, not raised, so
-- that the groups beside it share one commit.
CREATE FUNCTION submit_group(
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
) RETURNS TABLE (id text, duplicate boolean, refusal text)
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    constrained text;
BEGIN
    PERFORM register(r.name, r.build, r.build_id, r.options, r.about, r.max_queue, r.concurrency,
        r.on_duplicate)
    FROM unnest(rows_name, rows_build, rows_build_id, rows_options, rows_about, rows_max_queue,
        rows_concurrency, rows_on_duplicate)
        AS r (name, build, build_id, options, about, max_queue, concurrency, on_duplicate);
    RETURN QUERY
    SELECT s.id, s.duplicate, NULL::text
    FROM store_jobs(resumed, ids, names, payloads, identities, keyed, queues, ranks, delays,
        expiries, all_options, origins, builds, build_ids, retries_of) AS s;
EXCEPTION
    WHEN SQLSTATE 'DQ001' THEN
        GET STACKED DIAGNOSTICS refusal = PG_EXCEPTION_DETAIL;
        id := NULL;
        duplicate := NULL;
        RETURN NEXT;
    WHEN unique_violation THEN
        GET STACKED DIAGNOSTICS constrained = CONSTRAINT_NAME;
        IF constrained <> 'requests_id_key' THEN
            RAISE;
        END IF;
        id := NULL;
        duplicate := NULL;
        refusal := 'known';
        RETURN NEXT;
END
$$;
