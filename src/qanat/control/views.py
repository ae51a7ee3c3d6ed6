"""What a decision rests on, and what it says: counts, seconds and rates, never a key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qanat.ground.identifiers import LinkId, NodeId
from qanat.key_management.rations import BEYOND


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits, in bits, blocks and seconds."""

    pool_cap_bits: int = 64_000_000
    max_blocks_per_order: int = 4
    idle_orders_at_once: int = 4
    """So many links may be at work when an order for a demand of idle time is given."""
    idle_level_bits: int = 0
    """In idle time every link is brought to so much stock at each end, whether anybody asks for it or not."""
    recalibration_s: float = 31.4
    """How long a link is calibrated after a switch was turned to it, before it makes key again. The mean start of a
    40-MHz system of type I (docs/calibration.md), the kind that the packaged networks have behind switches."""
    turning_share: float = 0.1
    """At most this share of a link's time goes into turning to it: it goes on for as many blocks as that takes while
    others wait for its ports, unless one of them has waited too long."""
    most_wait_s: float = 300.0
    """A link that somebody has waited for so long gets the next turn at its ports, whatever else is wanted there."""

    look_ahead_s: float = 21_600.0
    """Pools are filled for what is foretold so far ahead, no earlier: key that lies long grows old."""
    demand_memory_s: float = 7200.0
    """How far back the demand is looked at that is expected to go on; see ``control.forecasting``."""
    foresight_margin: float = 1.5
    """So many times what is expected to be spent while a link gives less is laid by, since demand comes in bursts."""

    def __post_init__(self) -> None:
        if not 0 < self.turning_share <= 1:
            raise ValueError(f"a share of the time lies between 0 and 1: {self.turning_share}")
        if min(self.look_ahead_s, self.demand_memory_s, self.foresight_margin) <= 0:
            raise ValueError("to look ahead and back takes times and a margin above zero")


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link as the controller knows it: each end's stock to send under, the bits of its last block (0: unknown).

    ``rests``: it has failed, and is not to be tried yet. ``rate_bits_per_s``: what it is expected to give (0: unknown).
    ``ahead_bits``: pairs that ask for key now have shares of it, so it is to hold so much before they ask again.
    ``set_aside_bits``: several of them, so of each end's stock so much is for those who are within their share.
    ``sleeps``: a site at one of its ends sleeps, and is woken by who asks for key, not by idle time. ``is_to_try``: its
    modules are back, and one block in idle time is to show whether it makes key again.

    Foretold of it (``control.forecasting``): whether it gives nothing now (``is_out``), in how many seconds that begins
    (``out_in_s``), in how many more will be spent of it than it gives (``gap_in_s``), and what each end must hold then.

    The rest is of links through switches. ``kept``: ports and trunks that nobody else can use while it runs.
    ``is_set``: the switches stand for it; since they do it has been ordered ``blocks_in_turn``. ``turn_s``: how long
    they take to turn to it. ``waited_s``: so long has somebody waited for an order to it. ``blocks_got``: ordered so
    far.
    """

    available_bits: Mapping[NodeId, int]
    block_bits: int = 0
    has_order: bool = False
    rests: bool = False
    rate_bits_per_s: float = 0.0
    sleeps: bool = False
    is_to_try: bool = False
    is_out: bool = False
    out_in_s: float = math.inf
    gap_in_s: float = math.inf
    gap_bits: Mapping[NodeId, int] = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    is_set: bool = False
    blocks_in_turn: int = 0
    turn_s: float = 0.0
    waited_s: float = 0.0
    blocks_got: int = 0
    ahead_bits: int = 0
    set_aside_bits: int = 0

    @property
    def least_bits(self) -> int:
        """The lower of what the two ends may send under."""
        return min(self.available_bits.values(), default=0)


@dataclass(frozen=True, slots=True)
class DemandView:
    """A demand: every hop (link, sending node) must hold ``needed_bits``.

    ``is_idle``: it can wait for all others. Of the rest go first those of ``standing`` 0, which were guaranteed what
    they ask for; then those of a higher ``priority``; of these 1, within their share, before 2, beyond it. ``times``:
    it stands for so many alike, none of which can be met now.
    """

    demand_id: str
    hops: tuple[tuple[LinkId, NodeId], ...]
    needed_bits: int
    is_idle: bool = False
    priority: int = 0
    standing: int = 1
    times: int = 1

    @property
    def is_beyond_share(self) -> bool:
        """Whether it asks for more than its pair's share; idle time always does."""
        return self.standing >= BEYOND

    @property
    def rank(self) -> tuple[bool, bool, int, int]:
        """In this order stock is given; those of the same rank in the order in which they came."""
        return self.is_idle, self.standing > 0, -self.priority, self.standing


@dataclass(frozen=True, slots=True)
class NetworkView:
    """All that a decision rests on; demands in the order in which they came."""

    links: Mapping[LinkId, LinkView]
    demands: Sequence[DemandView]


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """Make ``num_blocks`` blocks on a link, for these demands; for none where idle time alone wants them."""

    link_id: LinkId
    num_blocks: int
    demand_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Orders:
    """The decision: links to set to work, demands whose key is there, and what links each open demand waits for."""

    generate: tuple[LinkOrder, ...]
    satisfied: tuple[str, ...]
    waits_for: Mapping[str, tuple[LinkId, ...]]
