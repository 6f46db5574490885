"""Everything with a socket or a file: settings, broker, state, history, mail, fetch, exports."""
