"""Compiled loops on plain arrays. Each has a plain twin in kernels/reference that says what it computes."""
