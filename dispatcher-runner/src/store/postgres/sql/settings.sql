-- No parameters. Asked once per connection: would a commit be answered before it is on disk?
SELECT current_setting('synchronous_commit') = 'off',
    CAST(current_setting('server_version_num') AS integer)
