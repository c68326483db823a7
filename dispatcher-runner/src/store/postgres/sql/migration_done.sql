-- $1: the number of a step.
INSERT INTO migrations (number)
VALUES ($1)
