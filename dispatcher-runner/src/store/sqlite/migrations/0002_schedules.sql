-- What was decided about the ticks of schedules: one row for each dispatcher that has, or had, one.
--
-- `record` is JSON that one pure function reads and writes (dispatcher-core, `ScheduleRecord`);
-- no statement looks into it. It outlives the jobs of its ticks, so that pruning them lets no tick
-- run twice.
CREATE TABLE schedules (
    dispatcher INTEGER PRIMARY KEY,
    record TEXT NOT NULL
) STRICT;
