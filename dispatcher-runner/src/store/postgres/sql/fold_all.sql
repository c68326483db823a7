-- No parameters. Adds up the differences of every dispatcher that has many.
SELECT fold(many.dispatcher)
FROM (
    SELECT dispatcher
    FROM differences
    GROUP BY dispatcher
    HAVING COUNT(*) > 100
    ORDER BY dispatcher
) AS many
