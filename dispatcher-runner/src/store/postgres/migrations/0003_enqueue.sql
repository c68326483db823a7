-- Jobs from any language, inside any transaction. What is sent exists when that commits, and never
-- existed when it rolls back. Whoever may use the schema may send; the tables stay closed to them.

-- Options of a job as SQL gives them: durations in seconds, and only what can be checked here, since
-- a runner reads what is stored without asking again.
CREATE FUNCTION checked_options(given jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    one record;
    checked jsonb := '{}';
    fits boolean;
BEGIN
    IF jsonb_typeof(given) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'options are a JSON object'
        USING ERRCODE = 'DQ002';
    END IF;
    FOR one IN
        SELECT e.key, e.value, jsonb_typeof(e.value) AS kind
        FROM jsonb_each(given) AS e
    LOOP
        fits := CASE
            WHEN one.key IN ('timeout', 'expires', 'delay') AND one.kind = 'null' THEN true
            WHEN one.key IN ('timeout', 'expires', 'delay', 'grace') AND one.kind = 'number' THEN
                one.value::numeric BETWEEN 0 AND 1000000000000
            WHEN one.key = 'unique_key' THEN one.kind IN ('string', 'null')
            WHEN one.key = 'queue' AND one.kind = 'string' THEN
                length(one.value #>> '{}') BETWEEN 1 AND 200
            WHEN one.key = 'priority' AND one.kind = 'number' THEN
                one.value::numeric BETWEEN -2147483647 AND 2147483647
                AND trunc(one.value::numeric) = one.value::numeric
            WHEN one.key = 'retries' AND one.kind = 'number' THEN
                one.value::numeric BETWEEN 0 AND 4294967295
                AND trunc(one.value::numeric) = one.value::numeric
            WHEN one.key = 'on_lost' THEN
                one.value IN ('"rerun"', '"fail"')
        END;
        IF fits IS NULL AND one.key NOT IN ('timeout', 'expires', 'delay', 'grace', 'unique_key',
            'queue', 'priority', 'retries', 'on_lost') THEN
            RAISE EXCEPTION 'there is no option % for a job sent by SQL', one.key
            USING ERRCODE = 'DQ002',
                HINT = 'there are timeout, expires, delay, grace (in seconds), unique_key, queue, '
                    'priority, retries and on_lost';
        END IF;
        IF fits IS NOT TRUE THEN
            RAISE EXCEPTION 'the option % cannot be %', one.key, one.value
            USING ERRCODE = 'DQ002';
        END IF;
        checked := checked || jsonb_build_object(one.key, CASE
            WHEN one.key IN ('timeout', 'expires', 'delay', 'grace') AND one.kind = 'number' THEN
                to_jsonb(ceil(one.value::numeric * 1000)::bigint)
            WHEN one.kind = 'number' THEN to_jsonb(one.value::numeric::bigint)
            ELSE one.value
        END);
    END LOOP;
    RETURN checked;
END
$$;

-- A new public id: 80 random bits as 16 characters.
CREATE FUNCTION new_id() RETURNS text
LANGUAGE sql VOLATILE
AS $$
    SELECT string_agg(
        substr('0123456789abcdefghjkmnpqrstvwxyz', (get_byte(b.bytes, n) & 31) + 1, 1), '')
    FROM (SELECT sha256(uuid_send(gen_random_uuid())) AS bytes) AS b,
        generate_series(0, 15) AS n
$$;

-- Sends jobs of one dispatcher, in the order of their payloads; answers with their ids, or with
-- those of the jobs that they are duplicates of. All or none.
CREATE FUNCTION enqueue_many(
    dispatcher text,
    payloads jsonb[],
    options jsonb DEFAULT '{}',
    wake boolean DEFAULT NULL
) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    -- Nothing was written before, in a transaction that began with this statement: it is the whole
    -- of it. In anybody else's, telling those who listen would make its commit wait for others.
    alone CONSTANT boolean := pg_current_xact_id_if_assigned() IS NULL
        AND statement_timestamp() = transaction_timestamp();
    many CONSTANT integer := cardinality(payloads);
    known dispatchers;
    all_options jsonb;
    key text;
BEGIN
    IF many = 0 THEN
        RETURN;
    END IF;
    known := (SELECT d FROM dispatchers AS d WHERE d.name = enqueue_many.dispatcher);
    IF known.id IS NULL THEN
        known := (
            SELECT d
            FROM dispatchers AS d
            WHERE d.about LIKE '{%'
                AND d.about::jsonb -> 'aliases' ? enqueue_many.dispatcher
            LIMIT 1
        );
    END IF;
    IF known.id IS NULL THEN
        RAISE EXCEPTION 'no dispatcher is called %', enqueue_many.dispatcher
        USING ERRCODE = 'DQ002',
            HINT = 'names are exact; a program makes its own known when it serves or sends';
    END IF;
    IF EXISTS (SELECT 1 FROM unnest(payloads) AS p (text) WHERE octet_length(p.text::text) > 2097152)
    THEN
        RAISE EXCEPTION 'a payload has more than 2097152 bytes'
        USING ERRCODE = 'DQ002';
    END IF;
    all_options := COALESCE(
        CASE WHEN known.about LIKE '{%' THEN known.about::jsonb -> 'options' END, '{}')
        || checked_options(options);
    key := all_options ->> 'unique_key';
    RETURN QUERY
    SELECT s.id
    FROM store_jobs(
        false,
        ARRAY(SELECT new_id() FROM generate_series(1, many)),
        array_fill(known.name, ARRAY[many]),
        ARRAY(SELECT p.payload::text FROM unnest(payloads) WITH ORDINALITY AS p (payload, number)
            ORDER BY p.number),
        array_fill(CASE WHEN key IS NOT NULL THEN 'key:' || key END, ARRAY[many]),
        array_fill(key IS NOT NULL, ARRAY[many]),
        array_fill(COALESCE(all_options ->> 'queue', 'default'), ARRAY[many]),
        array_fill(-COALESCE((all_options ->> 'priority')::integer, 0), ARRAY[many]),
        array_fill(COALESCE((all_options ->> 'delay')::bigint, 0), ARRAY[many]),
        array_fill((all_options ->> 'expires')::bigint, ARRAY[many]),
        array_fill(all_options::text, ARRAY[many]),
        array_fill('SQL, ' || session_user || COALESCE(
            ' (' || NULLIF(current_setting('application_name'), '') || ')', ''), ARRAY[many]),
        array_fill((-9223372036854775808)::bigint, ARRAY[many]),
        array_fill(''::text, ARRAY[many]),
        array_fill(NULL::text, ARRAY[many])
    ) AS s;
    IF COALESCE(wake, alone) THEN
        PERFORM pg_notify('dispatcher_' || current_schema(), '');
    END IF;
END
$$;

-- Sends one job; answers with its id, or with that of the job that it is a duplicate of.
CREATE FUNCTION enqueue(
    dispatcher text,
    payload jsonb DEFAULT '{}',
    options jsonb DEFAULT '{}',
    wake boolean DEFAULT NULL
) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path FROM CURRENT
AS $$ SELECT enqueue_many(dispatcher, ARRAY[payload], options, wake) $$;
