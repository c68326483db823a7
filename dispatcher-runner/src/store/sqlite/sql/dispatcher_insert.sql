-- :name :build_modified_ns :build_id :options :about. RETURNING saves the look-up of the new id.
INSERT INTO dispatchers (name, build_modified_ns, build_id, options, about)
VALUES (:name, :build_modified_ns, :build_id, :options, :about)
RETURNING id
