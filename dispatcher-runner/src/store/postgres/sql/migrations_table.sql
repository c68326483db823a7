-- No parameters. Which steps were made, and when.
CREATE TABLE migrations (
    number integer PRIMARY KEY,
    made_at timestamptz NOT NULL DEFAULT now()
)
