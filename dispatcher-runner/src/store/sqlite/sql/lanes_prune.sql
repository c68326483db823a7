-- No parameters. Labels nobody uses any more, so that free-form labels do not pile up.
DELETE FROM lanes
WHERE unfinished = 0
