"""What an application does with keys."""
