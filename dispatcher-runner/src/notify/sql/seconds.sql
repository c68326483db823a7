-- No parameters. Seconds since 1970.
SELECT EXTRACT(EPOCH FROM clock_timestamp())::FLOAT8
