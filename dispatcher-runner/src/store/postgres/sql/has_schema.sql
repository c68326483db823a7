-- $1: the schema. Whether anybody has begun to make it.
SELECT EXISTS (
    SELECT 1
    FROM pg_catalog.pg_tables
    WHERE schemaname = $1
        AND tablename = 'migrations'
)
