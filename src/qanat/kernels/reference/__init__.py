"""The plain twins of the kernels: slow, short, obviously right."""
