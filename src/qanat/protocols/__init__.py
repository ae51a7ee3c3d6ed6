"""Decoy-state BB84: states, gains, bounds and the length of the secret key."""
