-- $1: ids.
UPDATE dispatcher_wire.published
SET taken = TRUE
WHERE id = ANY ($1)
    AND NOT taken
