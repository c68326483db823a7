-- :id. A claim for a closed row could never be rescued.
SELECT 1
FROM supervisors
WHERE id = :id
    AND open = 1
