-- $1: what belongs to the message, as JSON. $2: asked again. $3 to $10: rows of dispatchers.
-- $11 to $24: jobs, in their order.
SELECT id, duplicate, refusal, replay_of
FROM submit_message(CAST($1 AS jsonb), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
    $16, $17, $18, $19, $20, $21, $22, $23, $24)
