-- $1: id. A claim for a closed row could never be rescued; the build says whose jobs it may take.
-- Whoever closes or rescues it waits for the end of the claim.
SELECT build_modified_ns
FROM supervisors
WHERE id = $1
    AND open
FOR SHARE
