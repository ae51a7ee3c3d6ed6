"""Programs: the only place where parts are wired together."""
