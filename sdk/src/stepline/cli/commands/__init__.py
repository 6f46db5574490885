"""The commands, a module a theme; each has `add_to(app)`."""
