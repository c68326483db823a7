-- Their number, from the first and the last key: each look-up is one step in the table's tree.
SELECT COALESCE(
    (SELECT MAX(key) FROM receipts) - (SELECT MIN(key) FROM receipts) + 1,
    0
)
