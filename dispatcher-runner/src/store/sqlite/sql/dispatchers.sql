-- No parameters. Counters are kept, never counted.
SELECT d.name, d.build_modified_ns, d.build_id, d.options, d.about,
    t.paused, t.waiting, t.running, t.mean_run_us
FROM dispatchers AS d
JOIN tallies AS t ON t.dispatcher = d.id
ORDER BY d.name
