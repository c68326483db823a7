-- No parameters. Counters are kept, never counted.
SELECT d.name, d.build_modified_ns, d.build_id, d.options, d.about, d.paused, t.waiting, t.running,
    t.mean_run_us
FROM dispatchers AS d
CROSS JOIN LATERAL tally(d.id) AS t
ORDER BY d.name
