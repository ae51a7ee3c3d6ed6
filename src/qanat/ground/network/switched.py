"""Which links the switches can join: every two ports of which one has light to send and the other a detector."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Literal, TypeAlias

from qanat.ground.identifiers import MAX_ID_CHARACTERS
from qanat.ground.network.links import Link
from qanat.ground.network.part import fault_of_field
from qanat.ground.network.switches import Port, Switch, Trunk

Equipment: TypeAlias = Literal["transmitter", "receiver", "both"]


@dataclass(frozen=True, slots=True)
class _Way:
    """A way from one switch to another: loss of all switches and trunks on it (dB), trunks' length, switches passed."""

    loss_db: float
    length_km: float
    switches: tuple[str, ...]


def switched_links(
    switches: Sequence[Switch], trunks: Sequence[Trunk], equipment: Mapping[str, Equipment]
) -> Iterator[Link]:
    """Yield the links through switches, in the order of their ports.

    equipment: what each site has. A port of a site that is not in it makes no link. Of two that can both send, the one
    whose port comes first does. Between two switches the way with the least loss is taken, then the one by names.
    """
    ports = [(switch, port) for switch in switches for port in switch.ports if port.site in equipment]
    ways = {switch.name: _ways(switch.name, switches, trunks) for switch in switches}
    for (here, one), (there, other) in combinations(ports, 2):
        way = ways[here.name].get(there.name)
        ends = _sender_first(one, other, equipment)
        if way is not None and ends is not None and one.site != other.site:
            yield _link(here, *ends, way if ends[0] is one else _back(way))


def kept_by(link: Link, trunks: Sequence[Trunk]) -> frozenset[str]:
    """Return what a link through switches keeps for itself while it runs: ``port SITE`` twice, and ``trunk NAME`` each.

    Two links can run at once where these share nothing. Empty for a link through no switch.
    """
    if not link.through:
        return frozenset()
    kept = {f"port {end}" for end in link.ends}
    for pair in pairwise(link.through):
        kept.add(f"trunk {_trunk_between(*pair, trunks).name}")
    return frozenset(kept)


@dataclass(frozen=True, slots=True)
class SwitchJoin:
    """Two ports that a switch must join, numbered from 1 on: sites' in the file's order, then trunks' in theirs."""

    switch: str
    ports: tuple[int, int]


def joins_of(link: Link, switches: Mapping[str, Switch], trunks: Sequence[Trunk]) -> tuple[SwitchJoin, ...]:
    """Return what each switch on a link's way must join for its light to pass; nothing for a link through no switch."""
    if not link.through:
        return ()
    between = [_trunk_between(one, other, trunks).name for one, other in pairwise(link.through)]
    points = [link.transmitter, *between, link.receiver]
    joins = []
    for name, (one, other) in zip(link.through, pairwise(points), strict=True):
        numbers = _port_numbers(switches[name], trunks)
        joins.append(SwitchJoin(name, (numbers[one], numbers[other])))
    return tuple(joins)


def _port_numbers(switch: Switch, trunks: Sequence[Trunk]) -> dict[str, int]:
    names = [port.site for port in switch.ports]
    names += [trunk.name for trunk in trunks if switch.name in trunk.switches]
    return {name: number for number, name in enumerate(names, start=1)}


def _trunk_between(one: str, other: str, trunks: Sequence[Trunk]) -> Trunk:
    """Return the trunk that links between two switches use: the one with the least loss."""
    between = [trunk for trunk in trunks if set(trunk.switches) == {one, other}]
    return min(between, key=lambda trunk: (trunk.loss_db, trunk.length_km))


def _sender_first(one: Port, other: Port, equipment: Mapping[str, Equipment]) -> tuple[Port, Port] | None:
    """Return transmitter's and receiver's port; None where nobody can send, or nobody detect."""
    for sender, detector in ((one, other), (other, one)):
        if equipment[sender.site] != "receiver" and equipment[detector.site] != "transmitter":
            return sender, detector
    return None


def _link(switch: Switch, sender: Port, detector: Port, way: _Way) -> Link:
    name = f"{sender.site}--{detector.site}"
    if len(name) > MAX_ID_CHARACTERS:
        raise fault_of_field(
            f"the link {name} through switch {switch.name!r} would have a name of more than "
            f"{MAX_ID_CHARACTERS} characters",
            remedy="shorten the names of the two sites",
        )
    return Link(
        name=name,
        transmitter=sender.site,
        receiver=detector.site,
        system=switch.system,
        loss_db=round(sender.loss_db + way.loss_db + detector.loss_db, 6),
        length_km=round(sender.length_km + way.length_km + detector.length_km, 6),
        counted_as=switch.counted_as,
        assumed=switch.assumed,
        through=way.switches,
    )


def _back(way: _Way) -> _Way:
    return _Way(way.loss_db, way.length_km, way.switches[::-1])


def _ways(start: str, switches: Sequence[Switch], trunks: Sequence[Trunk]) -> dict[str, _Way]:
    """Return the ways with the least loss from a switch to itself and to all that trunks lead to (Dijkstra)."""
    by_name = {switch.name: switch for switch in switches}
    leading: dict[str, list[Trunk]] = {}
    for trunk in trunks:
        for end in trunk.switches:
            leading.setdefault(end, []).append(trunk)
    found: dict[str, _Way] = {}
    queue: list[tuple[float, tuple[str, ...], float]] = [(by_name[start].insertion_loss_db, (start,), 0.0)]
    while queue:
        loss_db, passed, length_km = heapq.heappop(queue)
        if passed[-1] in found:
            continue
        found[passed[-1]] = _Way(loss_db, length_km, passed)
        for trunk in leading.get(passed[-1], ()):
            there = trunk.far_end(passed[-1])
            if there in by_name and there not in found:
                more_db = trunk.loss_db + by_name[there].insertion_loss_db
                heapq.heappush(queue, (loss_db + more_db, (*passed, there), length_km + trunk.length_km))
    return found
