"""Satellites: where they are, when a station sees them, when it is dark."""
