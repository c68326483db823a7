-- $1: ids. $2: tokens. $3: fractions. $4: texts. Touches no index. Who ends the job meanwhile is
-- not waited for.
-- The plus keeps the plan at the key: without it everything in that state may be read.
UPDATE jobs AS j
SET progress = w.fraction,
    progress_text = w.text
FROM (
    SELECT DISTINCT ON (u.id, u.token) u.id, u.token, u.fraction, u.text
    FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS u (id, token, fraction, text, number)
    ORDER BY u.id, u.token, u.number DESC
) AS w
JOIN requests AS r ON r.id = w.id
WHERE j.key = r.job
    AND +j.state = 1
    AND j.token = w.token
