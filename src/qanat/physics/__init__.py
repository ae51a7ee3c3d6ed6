"""Source, fibre, detector: what light does."""
