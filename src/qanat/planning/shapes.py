"""Star, ring, tree and switch for the same users: networks to be measured side by side.

All stand on one plan: the users evenly on a circle round a middle, with ``radius_km`` of fibre from there to each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from qanat.ground.errors import BadParameter
from qanat.ground.network import Application, Link, Network, Port, Site, Switch, Trunk
from qanat.ground.network.building import KM_PER_DEG, MIDDLE
from qanat.ground.network.switches import MOST_PORTS
from qanat.physics.channels import ALL_PASS_16
from qanat.quantum_layer.forecast import link_forecast

Point: TypeAlias = tuple[float, float]
Equipment: TypeAlias = Literal["transmitter", "receiver", "both"]

BESIDE_KM = 0.1
"""Fibre between devices of one building."""
USERS_PER_RELAY = 8
"""Users of a relay in a ring of relays with stars."""
MOST_WAY_KM = 1000.0
MOST_WAY_DB = 100.0
"""What a network file allows of a link, through switches or none."""
MOST_USERS = 200
MOST_DIRECT_USERS = 72
"""With switches of 16 ports that are all joined to each other by trunks: eight with nine users each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """So many users, ``radius_km`` of fibre from the middle to each, fibre of such a loss, devices of one system."""

    num_users: int
    radius_km: float
    loss_db_per_km: float
    system: str

    def __post_init__(self) -> None:
        if not 3 <= self.num_users <= MOST_USERS:
            raise BadParameter(f"{self.num_users} users", remedy=f"give 3 to {MOST_USERS} users")
        if not 0.1 <= self.radius_km <= 500:
            raise BadParameter(f"a radius of {self.radius_km:g} km", remedy="give 0.1 to 500 km")
        if not 0.01 <= self.loss_db_per_km <= 10:
            raise BadParameter(f"fibre of {self.loss_db_per_km:g} dB per km", remedy="give 0.01 to 10 dB per km")
        link_forecast(self.system, loss_db=1.0)  # a system that does not exist is told here

    def at(self, place: float, share: float = 1.0) -> Point:
        """Return the point of a user's number, or between two, at a share of the radius."""
        turn = 2 * math.pi * place / self.num_users
        return self.radius_km * share * math.sin(turn), self.radius_km * share * math.cos(turn)

    def sectors(self, count: int) -> list[range]:
        """Return the users in ``count`` neighbouring groups, as even as can be."""
        borders = [round(self.num_users * place / count) for place in range(count + 1)]
        return [range(one, other) for one, other in pairwise(borders)]


class _Drawing:
    """Sites at points, links as long as the way between them."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._points: dict[str, Point] = {}
        self.sites: list[Site] = []
        self.links: list[Link] = []
        self.switches: list[Switch] = []
        self.trunks: list[Trunk] = []

    def site(
        self,
        name: str,
        kind: Literal["user", "relay"],
        point: Point,
        *,
        equipment: Equipment = "both",
        direct: bool = False,
    ) -> str:
        self._points[name] = point
        latitude, longitude = _place(point)
        self.sites.append(
            Site(
                name=name,
                kind=kind,
                latitude_deg=latitude,
                longitude_deg=longitude,
                equipment=equipment,
                direct_keys_only=direct,
                assumed=True,
            )
        )
        return name

    def link(self, one: str, other: str) -> None:
        km, loss_db = self._fibre(self._points[one], self._points[other])
        self.links.append(
            Link(
                name=f"{one}-{other}",
                transmitter=one,
                receiver=other,
                system=self._plan.system,
                loss_db=loss_db,
                length_km=km,
                assumed=True,
            )
        )

    def switch(self, name: str, point: Point, sites: Sequence[str]) -> None:
        latitude, longitude = _place(point)
        fibres = {site: self._fibre(point, self._points[site]) for site in sites}
        far = sorted(fibres.values())[-2:]  # light of one passes to the other, over a trunk and a second switch at most
        trunk_km, trunk_db = self._fibre(point, point)
        _check_way(
            sum(km for km, _ in far) + trunk_km,
            sum(loss_db for _, loss_db in far) + trunk_db + 2 * ALL_PASS_16.insertion_loss_db,
        )
        self.switches.append(
            Switch(
                name=name,
                latitude_deg=latitude,
                longitude_deg=longitude,
                system=self._plan.system,
                num_ports=MOST_PORTS,
                insertion_loss_db=ALL_PASS_16.insertion_loss_db,
                reconfiguration_s=ALL_PASS_16.reconfiguration_s,
                ports=tuple(Port(site=site, loss_db=loss_db, length_km=km) for site, (km, loss_db) in fibres.items()),
                assumed=True,
            )
        )

    def trunk(self, one: str, other: str) -> None:
        km, loss_db = self._fibre((0.0, 0.0), (0.0, 0.0))
        self.trunks.append(Trunk(name=f"{one}-{other}", switches=(one, other), loss_db=loss_db, length_km=km))

    def network(self, name: str) -> Network:
        users = [site.name for site in self.sites if site.name.startswith("user-")]
        return Network(
            format="qanat-network/1",
            name=name,
            sites=tuple(self.sites),
            links=tuple(self.links),
            switches=tuple(self.switches),
            trunks=tuple(self.trunks),
            applications=tuple(Application(name=f"at-{user}", site=user) for user in users),
        )

    def _fibre(self, one: Point, other: Point) -> tuple[float, float]:
        km = max(BESIDE_KM, math.dist(one, other))
        length_km, loss_db = round(km, 3), round(km * self._plan.loss_db_per_km, 3)
        _check_way(length_km, loss_db)
        return length_km, loss_db


def _check_way(length_km: float, loss_db: float) -> None:
    if length_km > MOST_WAY_KM or loss_db > MOST_WAY_DB:
        raise BadParameter(
            f"a shape has a way of {length_km:g} km and {loss_db:g} dB for light; a link of a network has at most "
            f"{MOST_WAY_KM:g} km and {MOST_WAY_DB:g} dB",
            remedy="give a shorter --radius-km or a smaller --db-per-km: keys pass far less than that",
        )


def _place(point: Point) -> tuple[float, float]:
    across = KM_PER_DEG * math.cos(math.radians(MIDDLE[0]))
    return round(MIDDLE[0] + point[1] / KM_PER_DEG, 6), round(MIDDLE[1] + point[0] / across, 6)


def star(plan: Plan) -> Network:
    """One relay in the middle, with a receiver for each user; users only send."""
    drawing = _Drawing(plan)
    drawing.site("hub", "relay", (0.0, 0.0))
    for user in range(plan.num_users):
        drawing.link(drawing.site(f"user-{user + 1}", "user", plan.at(user), equipment="transmitter"), "hub")
    return drawing.network("star")


def ring(plan: Plan) -> Network:
    """Every user is a trusted relay for the others; each sends to the next."""
    drawing = _Drawing(plan)
    names = [drawing.site(f"user-{user + 1}", "relay", plan.at(user)) for user in range(plan.num_users)]
    for one, other in zip(names, [*names[1:], names[0]], strict=True):
        drawing.link(one, other)
    return drawing.network("ring")


def ring_of_relays(plan: Plan) -> Network:
    """Relays in a ring half-way out, and users who only send in stars round them, as in Beijing."""
    count = max(3, math.ceil(plan.num_users / USERS_PER_RELAY))
    drawing = _Drawing(plan)
    relays = _relays_with_users(plan, drawing, plan.sectors(count))
    for one, other in zip(relays, [*relays[1:], relays[0]], strict=True):
        drawing.link(one, other)
    return drawing.network("ring-of-relays")


def tree(plan: Plan) -> Network:
    """A relay in the middle, relays half-way out at it, and users who only send at these."""
    drawing = _Drawing(plan)
    hub = drawing.site("hub", "relay", (0.0, 0.0))
    for relay in _relays_with_users(plan, drawing, plan.sectors(max(2, round(math.sqrt(plan.num_users))))):
        drawing.link(relay, hub)
    return drawing.network("tree")


def _relays_with_users(plan: Plan, drawing: _Drawing, sectors: Sequence[range]) -> list[str]:
    relays = []
    for number, sector in enumerate(sectors, 1):
        relay = drawing.site(f"relay-{number}", "relay", plan.at((sector[0] + sector[-1]) / 2, 0.5))
        relays.append(relay)
        for user in sector:
            drawing.link(drawing.site(f"user-{user + 1}", "user", plan.at(user), equipment="transmitter"), relay)
    return relays


def switch_with_relay(plan: Plan) -> Network:
    """Switches half-way out (in the middle, if one is enough), each with one relay beside it: the one receiver that its
    users, who only send, share by turns. Several relays are joined in a ring, two by a link."""
    drawing = _Drawing(plan)
    sectors = plan.sectors(math.ceil(plan.num_users / (MOST_PORTS - 1)))
    relays = []
    for number, sector in enumerate(sectors, 1):
        point = plan.at((sector[0] + sector[-1]) / 2, 0.5 if len(sectors) > 1 else 0.0)
        relays.append(drawing.site(f"relay-{number}", "relay", point))
        users = [drawing.site(f"user-{user + 1}", "user", plan.at(user), equipment="transmitter") for user in sector]
        drawing.switch(f"switch-{number}", point, [relays[-1], *users])
    ends = [*relays[1:], relays[0]] if len(relays) > 2 else relays[1:]
    for one, other in zip(relays, ends, strict=False):
        drawing.link(one, other)
    return drawing.network("switch-with-relay")


def switch_alone(plan: Plan) -> Network:
    """Users who send and detect, behind switches in the middle: direct keys, which nobody else knows.

    Raises BadParameter for more users than switches that are all joined to each other have ports for.
    """
    if plan.num_users > MOST_DIRECT_USERS:
        raise BadParameter(f"{plan.num_users} users behind switches alone", remedy=f"give at most {MOST_DIRECT_USERS}")
    drawing = _Drawing(plan)
    count = next(n for n in range(1, MOST_PORTS) if n * (MOST_PORTS - n + 1) >= plan.num_users)
    for number, sector in enumerate(plan.sectors(count), 1):
        users = [drawing.site(f"user-{user + 1}", "user", plan.at(user), direct=True) for user in sector]
        drawing.switch(f"switch-{number}", (0.0, 0.0), users)
        for other in range(1, number):
            drawing.trunk(f"switch-{other}", f"switch-{number}")
    return drawing.network("switch")


SHAPES: Mapping[str, Callable[[Plan], Network]] = {
    "star": star,
    "ring": ring,
    "ring of relays, stars": ring_of_relays,
    "tree": tree,
    "switch, relay behind": switch_with_relay,
    "switch, direct keys": switch_alone,
}
