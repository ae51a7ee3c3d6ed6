"""Speed against stated goals, with a reference in the same run."""
