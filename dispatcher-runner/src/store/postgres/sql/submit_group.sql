-- $1: asked again. $2 to $9: rows of dispatchers. $10 to $23: jobs, in their order.
SELECT id, duplicate, refusal
FROM submit_group($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18,
    $19, $20, $21, $22, $23)
