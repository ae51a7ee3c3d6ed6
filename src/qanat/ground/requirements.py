"""What a caller may ask of the keys themselves. A requirement is met or refused, never met in part."""

from __future__ import annotations

from dataclasses import dataclass

MAX_DISJOINT_ROUTES = 4
"""So many routes that share no relay are looked for between two nodes, and may be required."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """What keys must fulfil; the default is met by every key.

    ``disjoint_routes``: it came in shares over so many routes that share no relay.
    """

    disjoint_routes: int = 1

    def __post_init__(self) -> None:
        if self.disjoint_routes < 1:
            raise ValueError(f"keys travel over one route or more, not {self.disjoint_routes}")
