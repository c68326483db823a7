-- :sender :id :hash :note :jobs :keep_until. The key is one more than the last one.
INSERT INTO receipts (sender, id, hash, note, jobs, keep_until)
VALUES (:sender, :id, :hash, :note, :jobs, :keep_until)
