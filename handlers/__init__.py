"""The domain: handlers and task types. No socket and no driver here."""
