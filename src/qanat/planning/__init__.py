"""Planning: how much a network can carry, for whom, what it loses when parts fail, what more would cost."""
