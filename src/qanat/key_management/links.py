"""The QKD links that end at a node, with the module that serves each, and the routes that begin there."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyShortage, NoRoute, UnknownNode
from qanat.ground.identifiers import LinkId, NodeId, Topic
from qanat.ground.keys import Origin
from qanat.ground.network import Link, Network
from qanat.ground.network.satellites import COMPARED_AS_BITS_PER_S
from qanat.ground.orders import LinkCapability, Role
from qanat.ground.ports import Clock, DistantModule, QKDModule, Tasks
from qanat.key_management.rations import Rations
from qanat.key_management.spreading import Spreading
from qanat.key_management.wire import RouteChoices, Routes, RoutesPushed, SharesPushed

ROUTES = Topic("routes")


JOINED_BY = {"keys": "links over trusted relays", "messages": "classical links between their routers, or by links"}


class Links:
    """What a key manager knows of its own links."""

    def __init__(self, *, node: NodeId, network: Network, modules: Sequence[QKDModule]) -> None:
        self.node = node
        self._network = network
        self._links = {link.link_id: link for link in network.links_of(node)}
        self._modules: dict[LinkId, QKDModule] = {}
        candidates = deque(modules)
        for link_id, link in self._links.items():
            for _ in modules:
                candidates.rotate(-1)  # each link is tried first with the next one: most often they come in one order
                if _serves(candidates[-1], link, link.peer_of(node)):
                    self._modules[link_id] = candidates[-1]
                    break
        # asked once: to ask whether something has the methods of a protocol takes long, for each link of each report
        self._distant: dict[LinkId, DistantModule] = {}
        for link_id, module in self._modules.items():
            if isinstance(module, DistantModule):
                self._distant[link_id] = module
        self._away: set[LinkId] = set()

    @property
    def link_ids(self) -> tuple[LinkId, ...]:
        return tuple(self._links)

    def has(self, link_id: LinkId) -> bool:
        return link_id in self._links

    def peer(self, link_id: LinkId) -> NodeId:
        """Return the other end of a link of this node; raises UnknownNode."""
        return self._network.link(link_id).peer_of(self.node)

    def towards(self, peer: NodeId) -> LinkId:
        """Return the link to a neighbour; raises UnknownNode. Parallel links count as their first."""
        return self._network.link_between(self.node, peer).link_id

    def role(self, link_id: LinkId) -> Role:
        return "transmitter" if self._links[link_id].ends[0] == self.node else "receiver"

    def module(self, link_id: LinkId) -> QKDModule | None:
        """Return the module that serves a link, None when this node has none for it."""
        return self._modules.get(link_id)

    def note_module(self, link_id: LinkId, *, is_away: bool) -> None:
        """Take note of whether the process with a link's module answers."""
        (self._away.add if is_away else self._away.discard)(link_id)

    def is_away(self, link_id: LinkId) -> bool | None:
        """Return whether the process with a link's module does not answer; None where it is dialled and that is not
        known yet, as after a start."""
        if link_id in self._away:
            return True
        distant = self._distant.get(link_id)
        return None if distant is not None and not distant.is_connected else False

    def origin(self, link_id: LinkId) -> Origin:
        """Return what makes the key of a link; without a module here nobody can say "device"."""
        module = self._modules.get(link_id)
        return module.origin if module is not None else "twin"

    def capability(self, link_id: LinkId) -> LinkCapability | None:
        """Return what a link can do; None when this node has no module for it. One that a satellite announces key for
        has none, and its mean over a week."""
        if self._links[link_id].kind == "announced":
            return LinkCapability(link_id, COMPARED_AS_BITS_PER_S, 0.0)
        module = self._modules.get(link_id)
        return module.capability(self.peer(link_id)) if module is not None else None


def _serves(module: QKDModule, link: Link, peer: NodeId) -> bool:
    try:
        return module.capability(peer).link_id == link.link_id
    except UnknownNode:
        return False


class RouteBook:
    """The last routes and shares that the controller pushed. They stay in force while the controller is away."""

    def __init__(self, *, node: NodeId, network: Network, tasks: Tasks, clock: Clock) -> None:
        self._node = node
        self._tasks = tasks
        self._pushed: RoutesPushed | None = None
        self._shares_stamp = (0, 0)
        self.spreading = Spreading()
        self.rations = Rations(network, clock)

    @property
    def stamp(self) -> tuple[int, int]:
        """Epoch and version of the table in force; zeros when there is none."""
        return (self._pushed.table_epoch, self._pushed.table_version) if self._pushed else (0, 0)

    @property
    def lost_nodes(self) -> frozenset[NodeId]:
        """The sites that do not answer the controller, as it said last."""
        return frozenset(self._pushed.lost_nodes if self._pushed else ())

    def learn(self, pushed: RoutesPushed) -> frozenset[LinkId]:
        """Take a table in force unless it is an older one, of this controller or of one before it. Returns the links
        whose modules were away by the last one and are back."""
        if (pushed.table_epoch, pushed.table_version) <= self.stamp:
            return frozenset()
        before, self._pushed = self._pushed, pushed
        self._tasks.notify(ROUTES)
        return frozenset(before.away_links if before else ()).difference(pushed.away_links)

    def learn_shares(self, pushed: SharesPushed) -> None:
        """Take shares in force unless they are older ones."""
        stamp = (pushed.table_epoch, pushed.shares_version)
        if stamp > self._shares_stamp:
            self._shares_stamp = stamp
            self.spreading.learn(pushed.spreads)
            self.rations.learn(pushed.rations)
            self.rations.parts.learn(pushed.spreads)

    async def wait(self, deadline: Deadline) -> None:
        """Return once there is a table; raises KeyShortage when none has come by then."""
        while self._pushed is None:
            if deadline.has_passed:
                raise KeyShortage(
                    "this key manager has not heard of any route yet",
                    remedy="look whether the controller runs; ask again in a moment",
                )
            await self._tasks.wait(ROUTES, until_monotonic_s=deadline.monotonic_s)

    def key_route(self, target: NodeId) -> tuple[NodeId, ...]:
        """Return the chain of trusted nodes from here to ``target``, ends included; raises NoRoute."""
        return self._find(self._pushed.key_routes if self._pushed else (), target, "keys")

    def ways(self, target: NodeId) -> Routes:
        """Return all routes for keys from here to ``target``, in the order of preference; raises NoRoute."""
        best, others = self.key_route(target), self.choices(target)
        return tuple(dict.fromkeys((best, *others.disjoint, *others.detours, *self.spreading.ways(target))))

    def choices(self, target: NodeId) -> RouteChoices:
        """Return what the controller knows of other ways to ``target``; nothing where it has said nothing."""
        pushed = self._pushed.choices if self._pushed else ()
        return next((row for row in pushed if row.target == target), RouteChoices(target, (), (), ()))

    def classical_route(self, target: NodeId) -> tuple[NodeId, ...]:
        """Return the way of classical messages from here to ``target``, ends included; raises NoRoute."""
        return self._find(self._pushed.classical_routes if self._pushed else (), target, "messages")

    def origin(self, links: Sequence[LinkId]) -> Origin:
        """Return "device" only when no link of a route is known to have a twin at an end."""
        if self._pushed is None or not set(links).isdisjoint(self._pushed.twin_links):
            return "twin"
        return "device"

    def _find(self, routes: Sequence[tuple[NodeId, ...]], target: NodeId, what: str) -> tuple[NodeId, ...]:
        if target == self._node:
            return (self._node,)
        for route in routes:
            if route[0] == self._node and route[-1] == target:
                return route
        raise NoRoute(
            f"no route for {what} leads from {self._node!r} to {target!r}",
            remedy=f"join them by {JOINED_BY[what]} in the network file",
        )
