-- :batch :jobs :on_finished. What was submitted.
INSERT INTO batch_requests (batch, jobs, on_finished)
VALUES (:batch, :jobs, :on_finished)
