-- Which queue labels a supervisor serves: JSON, empty for all. A submitter whose label nobody serves
-- starts somebody.
ALTER TABLE supervisors ADD COLUMN queues TEXT NOT NULL DEFAULT '[]';
