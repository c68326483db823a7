-- :key :id :now :total. One without jobs has finished.
INSERT INTO batches (key, id, created_at, finished_at, total, pending, failed, cancelled)
VALUES (:key, :id, :now, CASE WHEN :total = 0 THEN :now END, :total, :total, 0, 0)
