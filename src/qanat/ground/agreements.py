"""How two applications that share by terms of their own are named, at their key managers and at the controller."""

from __future__ import annotations


def agreement_of(one: str, other: str) -> str:
    """Return the name of what two applications (by their names in the network file) have been promised; it is the same
    whichever of them is the master."""
    return " ".join(sorted((one, other)))
