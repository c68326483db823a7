-- $1: dispatcher. $2: record. The caller has locked the row.
UPDATE schedules
SET record = $2
WHERE dispatcher = $1
