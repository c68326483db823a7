-- No parameters.
SELECT clock()
