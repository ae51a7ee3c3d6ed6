"""How many pairs of users a rate serves, and where that rate comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Link, Network

Provenance: TypeAlias = Literal["input", "predicted"]

PAPER_RATE_BITS_PER_S = 28_100.0
"""The least rate of a backbone link in Nature 589, 214 (2021), Table 1; its Methods count users by it."""
PAPER_NETWORKS = ("nature2021", "beijing-shanghai")
"""The networks whose backbone is the paper's: of others its rate says nothing."""
BACKBONE = "backbone"
"""The heading of links that bound what far users can have, where a network has it."""


@dataclass(frozen=True, slots=True)
class Consumption:
    """What a pair of users takes: by default an AES key per minute, as the paper counts (banks: ten per minute)."""

    key_bits: int = 128
    keys_per_minute: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.key_bits <= 1_000_000:
            raise BadParameter(f"keys of {self.key_bits} bits", remedy="give 1 to 1,000,000 bits")
        if not 0 < self.keys_per_minute <= 1e6:
            raise BadParameter(
                f"{self.keys_per_minute:g} keys per minute", remedy="give a number above zero, up to a million"
            )

    @property
    def bits_per_s(self) -> float:
        return self.key_bits * self.keys_per_minute / 60


@dataclass(frozen=True, slots=True)
class Served:
    """So many pairs of users can have their keys over a bottleneck of this rate."""

    what: str
    rate_bits_per_s: float
    provenance: Provenance
    pairs_of_users: int


def pairs_served(rate_bits_per_s: float, consumption: Consumption) -> int:
    """Return the whole number of pairs that a rate serves; raises BadParameter for a rate that is none."""
    if not (math.isfinite(rate_bits_per_s) and rate_bits_per_s >= 0):
        raise BadParameter(f"a rate of {rate_bits_per_s:g} bit/s", remedy="give a finite number, zero or more")
    # in whole fractions, so that a rate of exactly n pairs is not rounded down to n - 1
    rate, keys = (Fraction(str(round(value, 9))) for value in (rate_bits_per_s, consumption.keys_per_minute))
    return math.floor(rate * 60 / (keys * consumption.key_bits))


def bottleneck(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> tuple[Link, float] | None:
    """Return the backbone's link of the least rate, and that rate; of a network without a backbone, of all its links
    through no switch that give any, those that satellites announce included. None where there is none."""
    spans = [link for link in network.relayed_links if not link.through]
    links = [link for link in spans if link.counted_as == BACKBONE]
    among = links or [link for link in spans if rates_bits_per_s[link.link_id] > 0]
    if not among:
        return None
    least = min(among, key=lambda link: (rates_bits_per_s[link.link_id], link.name))
    return least, rates_bits_per_s[least.link_id]
