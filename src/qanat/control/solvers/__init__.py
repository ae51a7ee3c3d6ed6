"""Solvers of the controller, on arrays: who may have how much of the network's key, over which ways."""
