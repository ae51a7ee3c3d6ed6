"""What crosses between the towers besides key: orders, what links can do, what modules report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from qanat.ground.identifiers import BlockId, EventId, LinkId, NodeId, OrderId
from qanat.ground.keys import BitRange, SpentBits

Role: TypeAlias = Literal["transmitter", "receiver"]


@dataclass(frozen=True, slots=True)
class LinkCapability:
    """What a link can do as things stand: expected secret rate, time to one block, whether a switch must turn."""

    link_id: LinkId
    expected_rate_bits_per_s: float
    block_time_s: float
    switch_needed: bool = False


@dataclass(frozen=True, slots=True)
class LinkForecast:
    """What a link is expected to give over a span of time (weather, drift, maintenance)."""

    link_id: LinkId
    from_utc_s: float
    until_utc_s: float
    expected_bits: int


@dataclass(frozen=True, slots=True)
class PassForecast:
    """What a satellite pass is expected to give: ``expected_bits``, in the mean over the weather. p_clear: the odds of
    a clear sky, in which it gives 1 / p_clear times as much; otherwise nothing."""

    station: NodeId
    satellite: NodeId
    rise_utc_s: float
    set_utc_s: float
    expected_bits: int
    p_clear: float = 1.0


@dataclass(frozen=True, slots=True)
class GenerationOrder:
    """An order to one end of a link to make key together with ``peer``.

    ``num_blocks`` amplification blocks are made, then the order ends. The controller names link and amount; the
    key manager of the transmitter's end spends the pads of the worst case and tells their ``pad_range`` to its peer;
    each attaches the bits (``pads``) for its own module. Pads never travel.
    """

    order_id: OrderId
    link_id: LinkId
    local: NodeId
    peer: NodeId
    role: Role
    num_blocks: int
    cause: EventId | None = None
    pad_range: BitRange | None = None
    pads: SpentBits | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes pushed by the controller: for each pair of nodes the chain of trusted nodes, ends included.

    ``key_routes`` carry keys, ``classical_routes`` carry messages; they may differ. A key manager goes on with the
    last table when the controller is away.
    """

    version: int
    key_routes: Mapping[tuple[NodeId, NodeId], tuple[NodeId, ...]]
    classical_routes: Mapping[tuple[NodeId, NodeId], tuple[NodeId, ...]]


@dataclass(frozen=True, slots=True)
class KeyBlockReady:
    """A module has a block for its key manager; ``fetch`` it, and ``release`` it when both ends are durable."""

    block_id: BlockId
    order_id: OrderId
    num_bits: int


@dataclass(frozen=True, slots=True)
class LinkQuality:
    """What a module saw while it worked. Rates are per second of the link's own time.

    A twin's time is the network's, not the wall's: ``link_time_s`` says how long the light was on. ``f_ec`` is bits
    disclosed by error correction over the Shannon limit; zero rates and None mean "not known yet" (``progress`` < 1).
    """

    order_id: OrderId
    link_id: LinkId
    progress: float
    link_time_s: float
    qber: float | None = None
    sifted_bits: int = 0
    sifted_rate_bits_per_s: float = 0.0
    secret_rate_bits_per_s: float = 0.0
    f_ec: float | None = None
    block_bits: int = 0
    details: Mapping[str, float] = field(default_factory=dict)


Severity: TypeAlias = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must know: a code from one table, what happened, what to do."""

    code: str
    severity: Severity
    text: str
    remedy: str
    link_id: LinkId | None = None
    is_cleared: bool = False
    """What this code told before is over."""


@dataclass(frozen=True, slots=True)
class OrderEnded:
    """The module has done with an order; ``fault`` and ``remedy`` say why, and what helps, when it did not finish."""

    order_id: OrderId
    blocks_made: int
    fault: str | None = None
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """The telescope of a downlink sees its other end from now on, or no longer: a satellite's pass over a station.

    Said again while it lasts: a key manager may come up in the middle of one.
    """

    link_id: LinkId
    pass_id: str
    is_open: bool


ModuleEvent: TypeAlias = KeyBlockReady | LinkQuality | Alarm | OrderEnded | Contact
