"""The dashboard: a process of its own that talks to the API through the SDK and nothing else."""
