"""Which tests are made, drawn by a seed: of every service in turn, one in four between users who are far apart.

Near is a pair within ``NEAR_KM``, as in ``qanat simulate``. Two users are a pair where their keys can have a way and
their sites differ. What is broken on purpose is chosen by rule: the relay without which most pairs are parted, and the
only link of some user.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, cycle, islice
from typing import TypeAlias

import networkx as nx

from qanat.apps.acceptance.causes import Cause
from qanat.ground.errors import ConfigurationError, RequirementUnmet
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Application, Network
from qanat.ground.network.description import great_circle_km
from qanat.ground.network.extracts import without_satellites
from qanat.key_management.obstacles import require_joined, require_way

TEXT, FILE, FAX, AUDIO, VIDEO = "text", "file", "fax", "audio call", "video call"
COLLECTION, TUNNEL = "data collection", "tunnel"
KINDS = (TEXT, FILE, FAX, AUDIO, VIDEO, COLLECTION, TUNNEL)
NEAR_KM = 100.0
FAR_EVERY = 4
"""Of so many tests of a kind one is far, over dozens of relays; people call their own city more often."""
FAULTS_PER_TEST = 0.1
"""With faults on purpose, so many planted ones come on top of the tests, and one of each fault at least."""
LEAST_WITHOUT_RELAY, MOST_WITHOUT_RELAY = 2, 14
"""Tests with the relay killed, and as many when it is up again: by the same share within these bounds."""

Pair: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is broken on purpose in a test, and the cause that has to be found for it."""

    name: str
    cause: Cause
    kinds: tuple[str, ...] = KINDS


NOBODY = Fault("nobody receives at the address", Cause.NOT_REACHED)
SILENT = Fault("a recipient that never answers", Cause.TIMEOUT, (FILE, FAX, AUDIO, VIDEO, TUNNEL))
SOMEBODY_ELSE = Fault("another user's address", Cause.WRONG_RECIPIENT)
BIT_FLIPPED = Fault("a bit flipped on the line", Cause.ALTERED)
DOOR_CLOSED = Fault("the sender's key manager is away", Cause.NO_KEY_MANAGER)
PAD_SHORT = Fault("a one-time pad longer than the stock", Cause.PAD_SHORT, (FILE,))
NO_PROGRAM = Fault("the tunnel's program is not running", Cause.REFUSED, (TUNNEL,))
DAMAGED = Fault("the file is damaged after its arrival", Cause.WRONG_CONTENT, (FILE,))
NO_ROUTE = Fault("users whom no way for keys joins", Cause.NO_ROUTE)
LINK_DISTURBED = Fault("somebody listens on the only link", Cause.LINK_FAILED)
RELAY_KILLED = Fault("a relay on every way is killed", Cause.NODE_SILENT)
REPAIRED = Fault("the same relay is up again", Cause.SUCCESS)

FAULTS = (
    *(NOBODY, SILENT, SOMEBODY_ELSE, BIT_FLIPPED, DOOR_CLOSED, PAD_SHORT),
    *(NO_PROGRAM, DAMAGED, NO_ROUTE, LINK_DISTURBED, RELAY_KILLED, REPAIRED),
)


@dataclass(frozen=True, slots=True)
class ServiceTest:
    """One test. ``other``: a third user whose address is taken for the recipient's."""

    number: int
    kind: str
    sender: str
    recipient: str
    distance_km: float
    fault: Fault | None = None
    other: str | None = None

    @property
    def is_near(self) -> bool:
        """Whether the two are within ``NEAR_KM``."""
        return self.distance_km <= NEAR_KM

    @property
    def expected(self) -> Cause:
        """What has to become of it."""
        return Cause.SUCCESS if self.fault is None else self.fault.cause

    @property
    def names(self) -> frozenset[str]:
        """Who takes part; each is in one test at a time."""
        return frozenset(name for name in (self.sender, self.recipient, self.other) if name is not None)


@dataclass(frozen=True, slots=True)
class Broken:
    """What a run breaks of a network: a relay that it kills in the end, a link on which somebody listens all along."""

    relay: NodeId | None = None
    link: LinkId | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All tests of a run in the order in which they are begun: those of the network as it is, with planted faults in
    the later half, when most users have had keys; those with the relay killed; those after it has come again."""

    tests: tuple[ServiceTest, ...]
    without_relay: tuple[ServiceTest, ...] = ()
    repaired: tuple[ServiceTest, ...] = ()
    broken: Broken = Broken()

    @property
    def num_tests(self) -> int:
        """All of them."""
        return len(self.tests) + len(self.without_relay) + len(self.repaired)


def choose_broken(network: Network) -> Broken:
    """Return the relay without users that parts most pairs of users, and the link of a user that has one only, if
    there are such; the first by name of several."""
    users = {NodeId(app.site) for app in network.applications}
    apart = {node: _num_parted(network, node, users) for node in _relays(network) if node not in users}
    relay = min(apart, key=lambda node: (-apart[node], node), default=None)
    if relay is not None and not apart[relay]:
        relay = None
    lonely = (
        links[0].link_id
        for node in sorted(users)
        if network.site(node).kind == "user"
        and len(links := network.links_of(node)) == 1
        and links[0] in network.described_links
        and links[0].modules is None
        and len(network.links_of(links[0].peer_of(node))) > 2
    )
    return Broken(relay, next(lonely, None))


def draw_plan(
    network: Network,
    *,
    num_tests: int,
    seed: int,
    broken: Broken | None,
    num_users: int | None = None,
    has_passes: bool = True,
) -> Plan:
    """Return a run's tests. ``broken``: what is broken on purpose, with tests of every kind of fault; None: nothing.
    ``num_users``: between so many users, drawn from all places alike; None: between all. ``has_passes``: whether
    satellites bring key meanwhile; if not, nobody is drawn with whom they alone would share any.

    Raises ConfigurationError where no two users can have keys.
    """
    chance = random.Random(seed)  # noqa: S311 - who is tested is no secret
    lots = _Lots(network, chance, broken, num_users, network if has_passes else without_satellites(network))
    healthy = list(lots.healthy(num_tests))
    if broken is None:
        return Plan(tuple(healthy))
    num_planted = round(FAULTS_PER_TEST * num_tests)
    faults = [fault for fault in FAULTS if fault not in (RELAY_KILLED, REPAIRED)]
    planted = lots.planted(faults, max(num_planted, len(faults)))
    lots.chance.shuffle(healthy)
    half = len(healthy) // 2
    rest = [*healthy[half:], *planted]
    lots.chance.shuffle(rest)
    tests = [*healthy[:half], *rest]
    num_cut = min(max(num_planted, LEAST_WITHOUT_RELAY), MOST_WITHOUT_RELAY)
    without, repaired = (tuple(lots.planted([fault], num_cut)) for fault in (RELAY_KILLED, REPAIRED))
    return Plan(tuple(tests), without, repaired, broken)


@dataclass
class _Lots:
    """Draws tests, numbered from 1."""

    network: Network
    chance: random.Random
    broken: Broken | None
    num_users: int | None
    with_key: Network
    """The part of the network that key is made in."""
    _number: int = 0
    _joined: dict[Pair, bool] = field(default_factory=dict)
    _have_key: dict[Pair, bool] = field(default_factory=dict)
    _ways_km: dict[Pair, float] = field(default_factory=dict)

    def healthy(self, num_tests: int) -> Iterator[ServiceTest]:
        """Yield tests that must succeed: kinds in turn, near and far pairs where there are both."""
        for number, kind in enumerate(islice(cycle(KINDS), num_tests)):
            wanted = self._is_far if (number // len(KINDS)) % FAR_EVERY == 0 else self._is_near
            yield self._test(kind, self._draw(self._users, wanted) or self._any_pair())

    def planted(self, faults: Sequence[Fault], num_tests: int) -> Iterator[ServiceTest]:
        """Yield tests with these faults in turn, of the kinds that each can befall in turn; none of a fault for which
        this network has nobody whom it could befall."""
        for number, fault in enumerate(islice(cycle(faults), num_tests)):
            kind = fault.kinds[(number // len(faults) + FAULTS.index(fault)) % len(fault.kinds)]
            if (pair := self._befallen(fault)) is not None:
                others = [app.name for app in self._users if app.site not in (pair[0].site, pair[1].site)]
                if fault is not SOMEBODY_ELSE:
                    yield self._test(kind, pair, fault)
                elif others:
                    yield self._test(kind, pair, fault, self.chance.choice(others))

    def _befallen(self, fault: Fault) -> tuple[Application, Application] | None:
        """Return a pair of users whom a fault befalls, None where there is none."""
        if fault in (RELAY_KILLED, REPAIRED):
            if self.broken is None or self.broken.relay is None:
                return None
            return self._draw(self._users, lambda one, other: _is_parted(self._parts, one, other))
        if fault is LINK_DISTURBED:
            users = [*self._users, *(app for app in self._apps if app.site in self._listened)]
            return self._draw(users, lambda one, other: len(self._listened & {one.site, other.site}) == 1)
        if fault is NO_ROUTE:
            return self._draw(self._apart, lambda *_: True, holds=lambda *pair: not self._are_joined(*pair))
        return self._any_pair()

    @property
    def _apps(self) -> Sequence[Application]:
        return self.network.applications

    @cached_property
    def _parts(self) -> Mapping[NodeId, frozenset[int]]:
        """What is left of the network when its relay is killed."""
        return _parts_without(self.network, self.broken.relay if self.broken else None)

    @cached_property
    def _listened(self) -> frozenset[str]:
        """The user's site at the end of the link on which somebody listens."""
        if self.broken is None or self.broken.link is None:
            return frozenset()
        ends = self.network.link(self.broken.link).ends
        return frozenset(node for node in ends if len(self.network.links_of(node)) == 1)

    @cached_property
    def _users(self) -> Sequence[Application]:
        """The users of a run: of the file, which has them by place, each so manieth, from one that is drawn on."""
        users = [app for app in self._apps if app.site not in self._listened]
        if self.num_users is None or self.num_users >= len(users):
            return users
        first = self.chance.random()
        return [users[int((number + first) * len(users) / self.num_users)] for number in range(self.num_users)]

    @cached_property
    def _apart(self) -> Sequence[Application]:
        """The users of a run, and the first two users, by name, whom no way for keys joins."""
        users = sorted((app for app in self._apps if app.site not in self._listened), key=lambda app: app.name)
        differ = (pair for pair in combinations(users, 2) if pair[0].site != pair[1].site)
        pairs = (pair for pair in differ if not self._are_joined(*pair))
        return [*self._users, *(app for app in next(pairs, ()) if app not in self._users)]

    def _any_pair(self) -> tuple[Application, Application]:
        if (pair := self._draw(self._users, lambda *_: True)) is None:
            by_satellite = self.with_key is not self.network and bool(self.network.satellites)
            raise ConfigurationError(
                f"no two users of network {self.network.name!r} can have keys with each other"
                + (" while no satellite passes" if by_satellite else ""),
                remedy="let it have applications at two sites or more that links join"
                + (", or bring it up by `qanat up --passes-every-s` and name its --data" if by_satellite else ""),
            )
        return pair

    def _draw(
        self,
        users: Sequence[Application],
        is_wanted: Callable[[Application, Application], bool],
        *,
        holds: Callable[[Application, Application], bool] | None = None,
    ) -> tuple[Application, Application] | None:
        """Return a pair as it is wanted, drawn from all; None where there is none. ``holds``: what is looked at last,
        since it takes long; by default that the two can have keys."""
        holds = holds or self._can_have_keys
        for one in self.chance.sample(users, len(users)):  # so that users of a small island have their turn too
            others = [other for other in users if other.site != one.site and is_wanted(one, other)]
            for other in self.chance.sample(others, len(others)):
                if holds(one, other):
                    return one, other
        return None

    def _can_have_keys(self, one: Application, other: Application) -> bool:
        ends = one.site, other.site
        if ends not in self._have_key:
            self._have_key[ends] = _has_way(self.with_key, *ends)
        return self._have_key[ends]

    def _are_joined(self, one: Application, other: Application) -> bool:
        ends = one.site, other.site
        if ends not in self._joined:
            self._joined[ends] = _has_way(self.network, *ends)
        return self._joined[ends]

    def _is_near(self, one: Application, other: Application) -> bool:
        return self._km(one, other) <= NEAR_KM

    def _is_far(self, one: Application, other: Application) -> bool:
        return not self._is_near(one, other)

    def _km(self, one: Application, other: Application) -> float:
        ends = one.site, other.site
        if ends not in self._ways_km:
            self._ways_km[ends] = great_circle_km(*(self.network.site(NodeId(site)) for site in ends))
        return self._ways_km[ends]

    def _test(
        self,
        kind: str,
        pair: tuple[Application, Application],
        fault: Fault | None = None,
        other: str | None = None,
    ) -> ServiceTest:
        self._number += 1
        return ServiceTest(self._number, kind, pair[0].name, pair[1].name, self._km(*pair), fault, other)


def _has_way(network: Network, one: str, other: str) -> bool:
    """Return whether a network has a way for keys of two sites, as these would have them go."""
    ends = NodeId(one), NodeId(other)
    try:
        require_joined(network, *ends)
        require_way(network, *ends, network.policy_between(*ends))
    except RequirementUnmet:
        return False
    return True


def _relays(network: Network) -> list[NodeId]:
    return [site.node for site in network.sites if site.kind == "relay"]


def _parts_without(network: Network, relay: NodeId | None) -> Mapping[NodeId, frozenset[int]]:
    """Return site -> numbers of the parts that it is in or beside, by relays that pass keys on, without one of them."""
    relays = set(_relays(network)) - {relay}
    graph: nx.Graph[NodeId] = nx.Graph()
    graph.add_nodes_from(relays)
    for link in network.links:
        if set(link.ends) <= relays:
            graph.add_edge(*link.ends)
    part_of = {node: number for number, part in enumerate(nx.connected_components(graph)) for node in part}
    found = {node: frozenset({number}) for node, number in part_of.items()}
    for site in network.sites:  # users pass nothing on: one beside several parts does not join them
        if site.kind == "user":
            peers = (link.peer_of(site.node) for link in network.links_of(site.node))
            found[site.node] = frozenset(part_of[peer] for peer in peers if peer in relays)
    return found


def _is_parted(parts: Mapping[NodeId, frozenset[int]], one: Application, other: Application) -> bool:
    ends = NodeId(one.site), NodeId(other.site)
    return parts.keys() >= set(ends) and not parts[ends[0]] & parts[ends[1]]


def _num_parted(network: Network, relay: NodeId, users: set[NodeId]) -> int:
    """Return how many pairs of users' sites that are joined are parted without a relay."""
    before, after = _parts_without(network, None), _parts_without(network, relay)
    sites = [node for node in users if node in after]
    return sum(
        bool(before[one] & before[other]) and not after[one] & after[other] for one, other in combinations(sites, 2)
    )
