"""Live state in Redis: tasks, events, checkpoints, leases. `fake://` runs the same scripts."""
