-- No parameters. Whether messages are kept in this database.
SELECT to_regclass('dispatcher_wire.published') IS NOT NULL
