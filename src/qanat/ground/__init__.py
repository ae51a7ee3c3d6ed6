"""The ground: what both towers need, in plain Python. It imports nothing of the house."""
