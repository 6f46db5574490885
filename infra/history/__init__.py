"""The history: what happened, for good, in MySQL (or SQLite)."""
