-- Supervisors of a run that is over: whoever is to be told that.
SELECT pid
FROM supervisors
WHERE open = 1
