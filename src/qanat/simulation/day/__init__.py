"""A day of a network at rate level: counts of bits in place of bits, with the service's own policy and accounts."""
