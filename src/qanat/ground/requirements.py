"""What an application may require of the way of its keys. A requirement is met or refused, never met in part."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DISJOINT_ROUTES = 4
"""So many routes that share no relay are looked for between two nodes, and may be required."""


@dataclass(frozen=True, slots=True)
class KeyRequirements:
    """``min_disjoint_routes``: a key is the sum of so many shares, each of which goes a way of its own; nobody at fewer
    than all of these ways knows anything of the key. One asks for nothing special."""

    min_disjoint_routes: int = 1

    def __post_init__(self) -> None:
        if self.min_disjoint_routes < 1:
            raise ValueError(f"keys travel over one route or more, not {self.min_disjoint_routes}")
