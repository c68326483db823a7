-- $1: channels. $2: seconds since 1970 until which everything was heard, or null.
-- What nobody took; and what was published since then, and a little before. Oldest first.
SELECT channel, message
FROM dispatcher_wire.published
WHERE channel = ANY ($1)
    AND at > clock_timestamp() - INTERVAL '1 day'
    AND (NOT taken OR at > to_timestamp($2) - INTERVAL '1 minute')
ORDER BY at, id
