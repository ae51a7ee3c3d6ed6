"""What each link of a network can do in a day: its blocks as the forecast has them, and how the service cuts them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType

from qanat.control.graph import RouteGraph
from qanat.control.turns import PortsOfLink, ports_of
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.network import Link, Network
from qanat.key_management.accounts import reserve_bits
from qanat.quantum_layer.forecast import link_forecast

DAY_S = 86_400.0
INITIAL_RESERVE_DAYS = 10.0
"""So long would the initial key of a link, carried by hand, authenticate it: what ``qanat pki`` writes by default."""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """A link: a block of ``block_bits`` secret bits each ``block_time_s``.

    ``ends`` are in the order of their names, and so are ``half_bits``, what a block gives each of them to send under;
    ``reserve_share_bits`` go to the reserve. ``ports``: what it takes of switches. A link whose loss leaves no key has
    blocks of no bits; so has one between stations of a satellite, which gets key in passes, of so many bits a second on
    the whole, and none on order.
    """

    link_id: LinkId
    ends: tuple[NodeId, NodeId]
    rate_bits_per_s: float
    block_time_s: float
    block_bits: int
    half_bits: tuple[int, int]
    reserve_share_bits: int
    initial_reserve_bits: int
    ports: PortsOfLink


class DayPlan:
    """A network and its links by number, as the graph that keys are routed in numbers them."""

    def __init__(
        self,
        network: Network,
        *,
        planned: Callable[[Network, Link], LinkPlan] | None = None,
        pass_rates_bits_per_s: Mapping[LinkId, float] = MappingProxyType({}),
    ) -> None:
        """``planned``: what says what a link can do; by default its forecast. ``pass_rates_bits_per_s``: of links
        between stations of satellites, what passes give them on the whole; the others of these have no key."""
        self.network = network
        plans = {link.link_id: (planned or forecast_plan)(network, link) for link in network.links}
        plans |= {
            link_id: replace(plans[link_id], rate_bits_per_s=rate) for link_id, rate in pass_rates_bits_per_s.items()
        }
        numbered = RouteGraph.of_keys(network)
        self.links = tuple(plans[link.link_id] for link in numbered.links)
        self.number = numbered.link_number
        self.rates = {link_id: plan.rate_bits_per_s for link_id, plan in plans.items()}

    @cached_property
    def without_key(self) -> tuple[LinkId, ...]:
        """The links whose loss leaves no key, and those of satellites that have no passes."""
        return tuple(link.link_id for link in self.links if not link.block_bits and link.rate_bits_per_s <= 0)

    @cached_property
    def not_on_order(self) -> frozenset[int]:
        """The numbers of the links that get their key in passes."""
        links = self.network.links
        return frozenset(
            self.number[link.link_id] for link in links if link.kind == "announced" and link.link_id in self.number
        )


def forecast_plan(network: Network, link: Link) -> LinkPlan:
    """Return what a link can do by its forecast; pairs on one fibre work side by side."""
    forecast = link_forecast(link.system, loss_db=link.loss_db, pairs=link.pairs)
    block_bits = max(0, forecast.secret_bits_per_block) // 8 * 8
    return link_plan(network, link, block_bits=block_bits, block_time_s=forecast.block_time_s)


def link_plan(network: Network, link: Link, *, block_bits: int, block_time_s: float) -> LinkPlan:
    """Return the plan of a link that makes such blocks."""
    reserve, *halves = block_shares(block_bits)
    first, second = sorted(link.ends)
    return LinkPlan(
        link_id=link.link_id,
        ends=(first, second),
        rate_bits_per_s=block_bits / block_time_s,
        block_time_s=block_time_s,
        block_bits=block_bits,
        half_bits=(halves[0], halves[1]),
        reserve_share_bits=reserve,
        initial_reserve_bits=reserve_bits(days=INITIAL_RESERVE_DAYS, sessions_per_day=DAY_S / block_time_s),
        ports=ports_of(network, link),
    )
