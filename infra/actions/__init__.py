"""What people do to tasks: accept, cancel, retry, replay, one or many. API and cron share it."""
