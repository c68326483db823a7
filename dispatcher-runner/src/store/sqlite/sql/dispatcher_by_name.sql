-- :name. Registration of one dispatcher, compared before anything is written.
SELECT id, build_modified_ns, build_id, options, about
FROM dispatchers
WHERE name = :name
