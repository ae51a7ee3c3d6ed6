"""What a planner is told of a network, and of the same network with less or more in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from qanat.control.routing import places_of_applications
from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.second_backbone import backbone_line
from qanat.ground.route_policy import RoutePolicy
from qanat.planning.direct import wary_of
from qanat.planning.everyone import Everyone, everyone
from qanat.planning.flow import Flow, cut_between, most_between
from qanat.planning.limits import Limited, limited, link_rates
from qanat.planning.prices import Bill, Prices, bill
from qanat.planning.reach import MOST_SITES_TRIED, Loss, Part, Reach, parts_of
from qanat.planning.users import PAPER_NETWORKS, PAPER_RATE_BITS_PER_S, Consumption, Served, bottleneck, pairs_served

MOST_FLOWS_TRIED = 12
"""For so many of the weakest parts it is worked out what flow is left without them."""
COUNTS = 1e-6
"""A loss of less than this part of a flow is none."""
MOST_CARRYING_TRIED = 60
"""Of so many parts that carry the flow between two sites it is worked out what their loss costs it."""


@dataclass(frozen=True, slots=True)
class PairFlow:
    """The most between two sites; ``cut``: the links in the way, empty where ports or trunks of switches are; ``wary``:
    those of the two that take direct keys only, so that only the links between them count; ``policy``: what the two ask
    of the way of their keys."""

    ends: tuple[NodeId, NodeId]
    flow: Flow
    cut: tuple[LinkId, ...]
    losses: FlowLosses
    wary: tuple[NodeId, ...]
    policy: RoutePolicy


@dataclass(frozen=True, slots=True)
class FlowLosses:
    """What the flow between two sites loses with a relay, a switch or a link that carries it.

    all_of_it: parts without any one of which nothing is left. left_bits_per_s: what is left without others that cost
    some of it, the least first.
    """

    all_of_it: tuple[Part, ...]
    left_bits_per_s: tuple[tuple[Part, float], ...]


@dataclass(frozen=True, slots=True)
class Weak:
    """A part whose loss parts others; ``flow_left_bits_per_s``: between the sites asked for, None if not worked out."""

    loss: Loss
    flow_left_bits_per_s: float | None


@dataclass(frozen=True, slots=True)
class State:
    """A network as it stands.

    weak: relays, links and switches whose loss parts others, the worst first; None where they are too many to be tried.
    between: of the two sites asked for; None where one of them is not there. users_between: pairs of users that this
    much serves.
    """

    network: Network
    rates_bits_per_s: Mapping[LinkId, float]
    bill: Bill
    places: int
    pairs: int
    unreachable: int
    alone: tuple[NodeId, ...]
    between: PairFlow | None
    users_between: int
    everyone: Everyone | None
    served: tuple[Served, ...]
    weak: tuple[Weak, ...] | None

    def num_weak(self, kind: str) -> int | None:
        """Return how many parts of a kind part others when they fail."""
        return None if self.weak is None else sum(one.loss.part.kind == kind for one in self.weak)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a network.

    ends: two sites, None where no two are meant. rate_bits_per_s: a bottleneck to count users by, beside the others.
    counts_pairs: whether all pairs of modules on a fibre count, or one of each. pass_rates_bits_per_s: of the links of
    satellites (``planning.pass_rates``); those that are not there give nothing.
    """

    ends: tuple[NodeId, NodeId] | None
    consumption: Consumption = field(default_factory=Consumption)
    rate_bits_per_s: float | None = None
    counts_pairs: bool = True
    prices: Prices = field(default_factory=Prices)
    pass_rates_bits_per_s: Mapping[LinkId, float] = field(default_factory=dict)


def ends_of(network: Network, one: str | None, other: str | None) -> tuple[NodeId, NodeId] | None:
    """Return the two sites asked for; where none is named, the ends of the backbone, or else the first and the last
    place with an application. None where there are no two. Raises UnknownNode; BadParameter for one alone, or the same.
    """
    if one is not None and other is not None:
        ends = network.site(NodeId(one)).node, network.site(NodeId(other)).node
        if ends[0] == ends[1]:
            raise BadParameter(f"from {one!r} to itself", remedy="name two different sites with --from and --to")
        return ends
    if one is not None or other is not None:
        raise BadParameter("only one of two ends is named", remedy="give both --from and --to")
    found = _backbone(network) or places_of_applications(network)
    return (found[0], found[-1]) if len(found) > 1 else None


def _backbone(network: Network) -> tuple[NodeId, ...]:
    """Return the relays of the backbone from end to end; none where there is no one line of them."""
    try:
        return tuple(site.node for site in backbone_line(network))
    except ConfigurationError:
        return ()


def state(network: Network, question: Question) -> State:
    """Return a network's figures; raises ConfigurationError for an unknown system."""
    rates = _rates(network, question, counts_pairs=question.counts_pairs)
    reach = Reach(network, rates)
    able = None if question.ends is None else limited(network, rates, ends=question.ends)
    between = None if able is None else _between(network, able, question.ends)
    return State(
        network=network,
        rates_bits_per_s=rates,
        bill=bill(network, question.prices),
        places=len(reach.places),
        pairs=reach.pairs(),
        unreachable=reach.unreachable(),
        alone=reach.alone(),
        between=between,
        users_between=0 if between is None else pairs_served(between.flow.level_bits_per_s, question.consumption),
        everyone=everyone(network, rates),
        served=_served(network, question),
        weak=_weak(network, able, reach, question),
    )


def lost_places(before: State, after: State) -> tuple[tuple[NodeId, ...], int]:
    """Return the places that both states have and that reach nobody only after, and how many pairs of places that both
    have were joined before and are not after."""
    reaches = [Reach(one.network, one.rates_bits_per_s) for one in (before, after)]
    common = set(reaches[0].places) & set(reaches[1].places)
    joined = [_joined(reach, common) for reach in reaches]
    alone = tuple(node for node in reaches[0].places if node in common and joined[0][node] and not joined[1][node])
    lost = sum(len(joined[0][node] - joined[1][node]) for node in common) // 2
    return alone, lost


def _joined(reach: Reach, common: set[NodeId]) -> dict[NodeId, set[NodeId]]:
    masks = reach.masks()
    return {
        node: {other for place, other in enumerate(reach.places) if masks[node] >> place & 1 and other in common}
        for node in common
    }


def _between(network: Network, able: Limited, ends: tuple[NodeId, NodeId] | None) -> PairFlow | None:
    if ends is None or any(network.find_site(end) is None for end in ends):
        return None
    flow = most_between(able, *ends)
    losses = _flow_losses(network, able, ends, flow)
    policy = network.policy_between(*ends)
    return PairFlow(ends, flow, cut_between(able, flow, ends[0]), losses, wary_of(network, ends), policy)


def _flow_losses(network: Network, able: Limited, ends: tuple[NodeId, NodeId], flow: Flow) -> FlowLosses:
    """Only a part that carries all of the flow may be one that every way passes; of others those that carry the most
    are tried, in a network that is not too large."""
    carried: dict[Part, float] = {}
    for link_id, load in flow.loads_bits_per_s.items():
        link = network.link(link_id)
        for part in parts_of(link):
            if part.name not in ends and not (part.kind == "link" and link.through):
                share = load / 2 if part.name in link.ends else load  # what passes a site comes in and goes out
                carried[part] = carried.get(part, 0.0) + share
    whole = flow.level_bits_per_s * (1 - COUNTS)
    parts = sorted(carried, key=lambda part: (-carried[part], part.kind, part.name))
    parting = [part for part in parts if carried[part] >= whole and not _are_joined(network, able, ends, part)]
    others = [part for part in parts if part not in parting][:MOST_CARRYING_TRIED]
    if len(network.sites) > MOST_SITES_TRIED:
        others = []
    left = [(part, _without(network, able, ends, part)) for part in others]
    left = [(part, rest) for part, rest in left if rest < whole]
    return FlowLosses(tuple(parting), tuple(sorted(left, key=lambda one: (one[1], one[0].kind, one[0].name))))


def _are_joined(network: Network, able: Limited, ends: tuple[NodeId, NodeId], lost: Part) -> bool:
    """Return whether keys have a way between two sites without a part."""
    beside: dict[NodeId, list[NodeId]] = {}
    for carrier in _left(network, able, lost).carriers:
        one, other = carrier.ends
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    reached, open_nodes = {ends[0]}, [ends[0]]
    while open_nodes:
        for node in beside.get(open_nodes.pop(), ()):
            if node not in reached:
                reached.add(node)
                open_nodes += [node] if node in able.relays else []
    return ends[1] in reached


def _without(network: Network, able: Limited, ends: tuple[NodeId, NodeId], lost: Part) -> float:
    return most_between(_left(network, able, lost), *ends).level_bits_per_s


def _left(network: Network, able: Limited, lost: Part) -> Limited:
    """Return the links that are left without a part."""
    kept = tuple(one for one in able.carriers if lost not in parts_of(network.link(one.link_id)))
    return replace(able, carriers=kept)


def _rates(network: Network, question: Question, *, counts_pairs: bool) -> dict[LinkId, float]:
    """Return what each link gives: a fibre by its forecast, a satellite's by its passes."""
    of_passes = question.pass_rates_bits_per_s
    rates = link_rates(network, counts_pairs=counts_pairs)
    return {link_id: of_passes.get(link_id, rate) for link_id, rate in rates.items()}


def _served(network: Network, question: Question) -> tuple[Served, ...]:
    rows: list[tuple[str, float, bool]] = []
    if question.rate_bits_per_s is not None:
        rows.append(("the rate that was given", question.rate_bits_per_s, True))
    if network.name in PAPER_NETWORKS:
        rows.append(("the paper's least backbone rate (Table 1)", PAPER_RATE_BITS_PER_S, True))
    has_several = any(link.pairs > 1 for link in network.links)
    for counts_pairs in (False, True) if has_several else (False,):
        found = bottleneck(network, _rates(network, question, counts_pairs=counts_pairs))
        if found is not None:
            link, rate = found
            how = "all its pairs of devices" if counts_pairs else "one pair of devices"
            if not link.makes_key_on_order:
                how = "the mean of a week of passes"
            rows.append((f"{link.name}, {how}", rate, False))
    return tuple(
        Served(what, rate, "input" if is_input else "predicted", pairs_served(rate, question.consumption))
        for what, rate, is_input in rows
    )


def _weak(network: Network, able: Limited | None, reach: Reach, question: Question) -> tuple[Weak, ...] | None:
    losses = reach.weakest()
    if losses is None:
        return None
    return tuple(
        Weak(loss, _flow_left(network, able, loss.part, question) if place < MOST_FLOWS_TRIED else None)
        for place, loss in enumerate(losses)
    )


def _flow_left(network: Network, able: Limited | None, part: Part, question: Question) -> float | None:
    if able is None or question.ends is None or any(network.find_site(end) is None for end in question.ends):
        return None
    if part.kind == "site" and part.name in question.ends:
        return 0.0
    return _without(network, able, question.ends, part)
