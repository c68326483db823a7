-- :last. Everything up to this one.
DELETE FROM receipts
WHERE key <= :last
