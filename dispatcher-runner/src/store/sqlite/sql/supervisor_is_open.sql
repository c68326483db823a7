-- :id. A claim for a closed row could never be rescued; the build says whose jobs it may take.
SELECT build_modified_ns
FROM supervisors
WHERE id = :id
    AND open = 1
