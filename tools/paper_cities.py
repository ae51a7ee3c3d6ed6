"""The metropolitan networks of packaged ``nature2021``, the line to Xinglong, Urumqi's access network, and Micius.

A city has relays (in a ring, in a line, or joined through switches alone), stars of users who have a transmitter only,
and all-pass switches with a relay and users on their ports. How many of each is what makes Table 1 come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Literal

from paper_figures import (
    DETOUR,
    INSERTION_LOSS_DB,
    Place,
    Row,
    around,
    circle,
    dealt,
    fan,
    length_of,
    mean_port,
    port_shares,
    ring_shares,
    spread_losses,
)

from qanat.ground.network import Application, Downlink, Link, Port, Site, Switch, Trunk

CITY_SYSTEM = "metro-40-i"
JOINT_SYSTEM = "backbone-625"
TRUNK_KM, TRUNK_DB = 2.0, 1.0
TRUNKED_KM = 1.5
"""From a relay to its switch, where trunks join the switches."""
LEAST_ELEVATION_DEG = 5.0
"""The paper's widest coverage angle is 170 degrees, which is 180 - 2 x 5."""


@dataclass(slots=True)
class Parts:
    """What has been described so far."""

    sites: list[Site] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    switches: list[Switch] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)
    downlinks: list[Downlink] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)
    comments: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """A switch: the relay (by number) on its first port, users with both, users with a transmitter only."""

    relay: int
    num_both: int
    num_transmitters: int
    direct_keys_only: bool = False
    counted_as: str | None = None


@dataclass(frozen=True, slots=True)
class City:
    """A metropolitan network. ``stars``: users of a transmitter only on each relay, by its number from 1.

    shape: how relays are joined. not_counted: relays that Table 1 leaves out. num_users_more: nodes with a second user.
    """

    name: str
    row: Row
    num_relays: int
    shape: Literal["ring", "line", "through switches"]
    stars: dict[int, int]
    switches: tuple[SwitchPlan, ...]
    centre_deg: float
    chord_km: float
    comment: str
    not_counted: tuple[int, ...] = ()
    num_users_more: int = 0
    links_of_relays_counted: bool = True
    relays_are_users: bool = False

    @property
    def title(self) -> str:
        return self.name.capitalize()

    def relay(self, number: int) -> str:
        """Return a relay's name."""
        return "beijing-control" if self.name == "beijing" and number == 1 else f"{self.name}-relay-{number:02}"


CITIES = (
    City(
        name="beijing",
        row=Row(2.5, 9.3, 13.5, 29.8),
        num_relays=12,
        shape="ring",
        stars={3: 3, 6: 3, 8: 3, 11: 3},
        switches=(SwitchPlan(5, 3, 0, direct_keys_only=True), SwitchPlan(9, 2, 2)),
        centre_deg=315.0,
        chord_km=8.0,
        not_counted=(1, 5, 9),
        relays_are_users=True,
        comment="Beijing (Table 1: 9 relays, 19 nodes, 19 users, 39 links = 12 of the ring + 12 of stars + 15 through\n"
        "two switches). The text has 12 ring nodes: counted as the 9 are those that do nothing but relay, not the\n"
        "control centre and the two that keep a switch. The control centre stands where the backbone begins (Fig. 1).",
    ),
    City(
        name="jinan",
        row=Row(3.0, 5.8, 12.5, 7.6),
        num_relays=3,
        shape="through switches",
        stars={1: 4, 2: 4, 3: 3},
        switches=(SwitchPlan(1, 3, 10), SwitchPlan(2, 3, 10), SwitchPlan(3, 3, 10)),
        centre_deg=0.0,
        chord_km=4.0,
        num_users_more=45,
        comment="Jinan (Table 1: 3 relays, 50 nodes, 95 users, 437 links = 11 of stars + 426 through three\n"
        "switches). Each switch has 16 ports: its relay, 13 users, and trunks to the two others. 12 sites with both\n"
        "(3 relays, 9 users) and 30 with a transmitter only make 66 + 360 pairs.",
    ),
    City(
        name="hefei",
        row=Row(2.1, 5.8, 10.3, 25.0),
        num_relays=3,
        shape="line",
        stars={1: 3, 2: 3, 3: 2},
        switches=(SwitchPlan(2, 3, 0, counted_as="hefei-more"),),
        centre_deg=0.0,
        chord_km=16.0,
        num_users_more=3,
        links_of_relays_counted=False,
        comment="Hefei (Table 1: 3 relays, 11 nodes, 14 users, 8 links). Eight links cannot join fourteen sites:\n"
        "counted are those of the stars; two between relays and six through a switch stand under 'hefei-more'.",
    ),
    City(
        name="shanghai",
        row=Row(5.7, 9.8, 13.2, 27.5),
        num_relays=5,
        shape="ring",
        stars={2: 4, 3: 4, 4: 3, 5: 3},
        switches=(SwitchPlan(3, 6, 6),),
        centre_deg=215.0,
        chord_km=13.0,
        comment="Shanghai (Table 1: 5 relays, 26 nodes, 26 users, 82 links = 5 of the ring + 14 of stars + 63 through\n"
        "a switch: 7 with both make 21 pairs, with 6 who have a transmitter only 42 more).",
    ),
)


def add_city(parts: Parts, city: City, backbone: Place) -> None:
    """Add a city's sites and links; ``backbone``: where its relay on the backbone stands."""
    parts.comments["sites", city.relay(1)] = city.comment
    relays = circle(backbone, num=max(3, city.num_relays), chord_km=city.chord_km, bearing_deg=city.centre_deg)
    _add_relays(parts, city, relays[: city.num_relays])
    parts.comments["links", f"joint-{city.name}"] = (
        f"{city.title}: the joint with the backbone, counted in no row; then "
    )
    parts.comments["links", f"joint-{city.name}"] += "links between relays; stars."
    parts.links.append(_joint(city))
    direct, stars = _direct_losses(city)
    parts.links += _links_of_relays(city, direct)
    nodes = _Nodes(parts, city)
    _add_stars(parts, city, relays, stars, nodes)
    _add_switches(parts, city, relays, nodes)


def _add_relays(parts: Parts, city: City, places: Sequence[Place]) -> None:
    for number, place in enumerate(places, 1):
        counted = f"{city.name}-ring-more" if number in city.not_counted else city.name
        name = city.relay(number)
        title = "Beijing control centre" if name == "beijing-control" else f"{city.title} relay {number}"
        parts.sites.append(
            Site(name=name, title=title, kind="relay", **place.fields(), counted_as=counted, assumed=number > 1)
        )
        if city.relays_are_users:
            parts.applications.append(Application(name=name, site=name))


def _joint(city: City) -> Link:
    """Both ends stand in one place: a patch between two racks."""
    return Link(
        name=f"joint-{city.name}",
        transmitter=city.name,
        receiver=city.relay(1),
        system=JOINT_SYSTEM,
        loss_db=1.0,
        length_km=0.1,
        counted_as="joints",
        assumed=True,
    )


def _direct_losses(city: City) -> tuple[list[float], list[float]]:
    """Return the losses of the links between relays, and of those of the stars (dB)."""
    num_stars = sum(city.stars.values())
    if city.shape == "ring":
        losses = spread_losses(city.row, city.num_relays + num_stars)
        ring, stars = ring_shares(len(losses), city.num_relays)
        return [losses[ring[k]] for k in dealt(len(ring))], [losses[stars[k]] for k in dealt(len(stars))]
    losses = spread_losses(city.row, num_stars)
    num_between = city.num_relays - 1 if city.shape == "line" else 0
    return [city.row.mean_db] * num_between, [losses[k] for k in dealt(num_stars)]


def _links_of_relays(city: City, losses: Sequence[float]) -> list[Link]:
    names = [city.relay(number) for number in range(1, city.num_relays + 1)]
    ends = list(pairwise(names + names[:1] if city.shape == "ring" else names))
    counted = city.name if city.links_of_relays_counted else f"{city.name}-more"
    return [_direct(city, *pair, loss_db, counted) for pair, loss_db in zip(ends, losses, strict=False)]


def _direct(city: City, sender: str, detector: str, loss_db: float, counted_as: str) -> Link:
    return Link(
        name=f"{sender}-{detector.removeprefix(city.name + '-')}",
        transmitter=sender,
        receiver=detector,
        system=CITY_SYSTEM,
        loss_db=loss_db,
        length_km=length_of(city.row, loss_db),
        counted_as=counted_as,
        assumed=True,
    )


@dataclass(slots=True)
class _Nodes:
    """Numbers the user nodes of a city."""

    parts: Parts
    city: City
    num: int = 0

    def add(self, place: Place, *, has_both: bool, direct_keys_only: bool = False) -> str:
        """Add a user node and its users; return its name."""
        self.num += 1
        name = f"{self.city.name}-user-{self.num:02}"
        self.parts.sites.append(
            Site(
                name=name,
                title=f"{self.city.title} user {self.num}",
                kind="user",
                **place.fields(),
                counted_as=self.city.name,
                equipment="both" if has_both else "transmitter",
                direct_keys_only=direct_keys_only,
                assumed=True,
            )
        )
        users = [f"{name}-a", f"{name}-b"] if self.num <= self.city.num_users_more else [name]
        self.parts.applications += [Application(name=user, site=name) for user in users]
        return name


def _outwards(city: City, number: int) -> float:
    """Return the bearing from a circle's centre to a relay."""
    return city.centre_deg + 180 + 360 * (number - 1) / max(3, city.num_relays)


def _add_stars(parts: Parts, city: City, relays: Sequence[Place], losses: list[float], nodes: _Nodes) -> None:
    left = list(losses)
    for number, num in city.stars.items():
        for bearing_deg in fan(num, towards_deg=_outwards(city, number), width_deg=110):
            loss_db = left.pop(0)
            place = relays[number - 1].at(bearing_deg, length_of(city.row, loss_db) / DETOUR)
            name = nodes.add(place, has_both=False)
            parts.links.append(_direct(city, name, city.relay(number), loss_db, city.name))


def _add_switches(parts: Parts, city: City, relays: Sequence[Place], nodes: _Nodes) -> None:
    loss_db, length_km = _mean_ports(city)
    names = [f"{city.name}-switch-{number}" for number in range(1, len(city.switches) + 1)]
    parts.comments["switches", names[0]] = f"{city.title}: first its relay, then users; links follow from the ports."
    places = _switch_places(city, relays, length_km)
    for name, plan, place in zip(names, city.switches, places, strict=True):
        shares = port_shares(plan.num_both + plan.num_transmitters)
        bearings = around(len(shares), first_deg=_outwards(city, plan.relay) + 20)
        ports = [Port(site=city.relay(plan.relay), loss_db=round(loss_db, 2), length_km=round(length_km, 2))]
        for number, (share, bearing_deg) in enumerate(zip(shares, bearings, strict=True)):
            user = nodes.add(
                place.at(bearing_deg, share * length_km / DETOUR),
                has_both=number < plan.num_both,
                direct_keys_only=plan.direct_keys_only,
            )
            ports.append(Port(site=user, loss_db=round(share * loss_db, 2), length_km=round(share * length_km, 2)))
        parts.switches.append(
            Switch(
                name=name,
                title=name.replace("-", " ").capitalize(),
                **place.fields(),
                system=CITY_SYSTEM,
                insertion_loss_db=INSERTION_LOSS_DB,
                ports=tuple(ports),
                counted_as=plan.counted_as or city.name,
                assumed=True,
            )
        )
    if city.shape == "through switches":
        parts.trunks += [_trunk(*pair) for pair in combinations(names, 2)]


def _switch_places(city: City, relays: Sequence[Place], length_km: float) -> list[Place]:
    """A switch stands at the end of its relay's fibre, outwards; trunked ones close together between the relays."""
    if city.shape == "through switches":
        inwards = [_outwards(city, number) + 180 for number in range(1, len(relays) + 1)]
        return [relay.at(bearing_deg, TRUNKED_KM) for relay, bearing_deg in zip(relays, inwards, strict=True)]
    return [relays[plan.relay - 1].at(_outwards(city, plan.relay), length_km / DETOUR) for plan in city.switches]


def _trunk(one: str, other: str) -> Trunk:
    name = f"{one}-{other.rsplit('-', 1)[-1]}"
    return Trunk(name=name, switches=(one, other), loss_db=TRUNK_DB, length_km=TRUNK_KM, assumed=True)


def _mean_ports(city: City) -> tuple[float, float]:
    """Return the mean loss (dB) and length (km) of the fibres to ports that give the pairs the means of Table 1."""
    ports = [
        (number, share, has_both)
        for number, plan in enumerate(city.switches)
        for share, has_both in [
            (1.0, True),
            *zip(
                port_shares(plan.num_both + plan.num_transmitters),
                [True] * plan.num_both + [False] * plan.num_transmitters,
                strict=True,
            ),
        ]
    ]
    pairs = [
        (one, other)
        for one, other in combinations(ports, 2)
        if (one[2] or other[2]) and (one[0] == other[0] or city.shape == "through switches")
    ]
    shares = [(one[1], other[1]) for one, other in pairs]
    apart = [one[0] != other[0] for one, other in pairs]
    return (
        mean_port(
            shares,
            fixed=[INSERTION_LOSS_DB + far * (TRUNK_DB + INSERTION_LOSS_DB) for far in apart],
            mean=city.row.mean_db,
        ),
        mean_port(shares, fixed=[far * TRUNK_KM for far in apart], mean=city.row.mean_km),
    )


def add_xinglong(parts: Parts, beijing: Place) -> None:
    """Add the line from Beijing's control centre over four relays to the ground station: five links, as Table 1 has."""
    row = Row(10.7, 14.7, 20.5, 51.7)
    station = Place(40.3958, 117.5775)
    losses = [spread_losses(row, 5)[k] for k in dealt(5)]
    names = ["beijing-control", *(f"xinglong-relay-{number}" for number in range(1, 5)), "xinglong"]
    parts.comments["sites", names[1]] = (
        "Xinglong (Table 1: 4 relays, 1 node, 1 user, 5 links): a line from Beijing's control centre to the station.\n"
        "The relays stand on a bow to the north, since five links of 51.7 km are twice the straight way of 114 km."
    )
    for number, name in enumerate(names[1:-1], 1):
        place = _on_bow(beijing, station, number / 5)
        parts.sites.append(
            Site(
                name=name,
                title=f"Xinglong relay {number}",
                kind="relay",
                **place.fields(),
                counted_as="xinglong",
                assumed=True,
            )
        )
    parts.sites.append(_station("xinglong", "Xinglong ground station", station, "xinglong"))
    parts.applications.append(Application(name="xinglong", site="xinglong"))
    parts.comments["links", f"{names[0]}-{names[1]}"] = "Xinglong."
    for (one, other), loss_db in zip(pairwise(names), losses, strict=True):
        parts.links.append(
            Link(
                name=f"{one}-{other}",
                transmitter=one,
                receiver=other,
                system=JOINT_SYSTEM,
                loss_db=loss_db,
                length_km=length_of(row, loss_db),
                counted_as="xinglong",
                assumed=True,
            )
        )


def _on_bow(start: Place, stop: Place, share: float) -> Place:
    """Return a place on a bow between two places that rises to 0.2 degrees north of the straight line."""
    latitude = start.latitude_deg + share * (stop.latitude_deg - start.latitude_deg) + 0.8 * share * (1 - share)
    longitude = start.longitude_deg + share * (stop.longitude_deg - start.longitude_deg)
    return Place(round(latitude, 4), round(longitude, 4))


def _station(name: str, title: str, place: Place, counted_as: str) -> Site:
    return Site(name=name, title=title, kind="relay", **place.fields(), counted_as=counted_as, ground_station=True)


def add_urumqi(parts: Parts) -> None:
    """Add the way from the Nanshan station to a data centre in Urumqi; only the satellite joins it to the rest."""
    parts.comments["sites", "nanshan"] = (
        "Urumqi: the Nanshan station (Table 1 counts it under the satellite) and the way from it to a data centre, as\n"
        "in the paper's case of the bank between Urumqi and Beijing. Keys get there by satellite alone."
    )
    parts.sites.append(_station("nanshan", "Nanshan ground station", Place(43.4753, 87.1775), "urumqi"))
    for name, title, kind, place in (
        ("urumqi-relay", "Urumqi relay", "relay", Place(43.75, 87.55)),
        ("urumqi-user-01", "Urumqi data centre", "user", Place(43.825, 87.617)),
    ):
        parts.sites.append(
            Site.model_validate(
                {"name": name, "title": title, "kind": kind, **place.fields(), "counted_as": "urumqi", "assumed": True}
            )
        )
    parts.applications += [Application(name=name, site=name) for name in ("nanshan", "urumqi-user-01")]
    parts.comments["links", "nanshan-urumqi-relay"] = "Urumqi: losses at the 0.25 dB per km of the backbone's mean."
    for sender, detector, system, loss_db, length_km in (
        ("nanshan", "urumqi-relay", JOINT_SYSTEM, 15.0, 60.0),
        ("urumqi-user-01", "urumqi-relay", CITY_SYSTEM, 3.5, 14.0),
    ):
        parts.links.append(
            Link(
                name=f"{sender}-{detector}",
                transmitter=sender,
                receiver=detector,
                system=system,
                loss_db=loss_db,
                length_km=length_km,
                counted_as="urumqi",
                assumed=True,
            )
        )


def add_micius(parts: Parts) -> None:
    """Add the satellite and its downlinks to both stations: one relay and two links, as Table 1 has; its two nodes and
    their users are the stations."""
    parts.comments["sites", "micius"] = (
        "The satellite (Table 1: 1 relay, 2 nodes, 2 users, 2 links; the nodes are both stations, of which Xinglong\n"
        "is counted in its own row too). Its element set is the one published for 2016-12-19."
    )
    parts.sites.append(
        Site.model_validate(
            {
                "name": "micius",
                "title": "Micius",
                "kind": "satellite",
                "counted_as": "satellite",
                "elements": "micius",
            }
        )
    )
    parts.downlinks += [
        Downlink(
            satellite="micius",
            station=station,
            altitude_m=altitude_m,
            least_elevation_deg=LEAST_ELEVATION_DEG,
            counted_as="satellite",
        )
        for station, altitude_m in (("xinglong", 890.0), ("nanshan", 2080.0))
    ]
