-- No parameters.
SELECT settle()
