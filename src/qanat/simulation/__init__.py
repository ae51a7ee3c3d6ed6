"""The whole network on a virtual clock, with seeded faults and invariant checkers."""
