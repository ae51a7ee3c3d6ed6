"""What other programs call the things that a node and an edge of a graph may say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qanat.ground.errors import NetworkFileError
from qanat.ground.network.exchange.foreign import Fibre, Node

METRES_PER_KM = 1000.0
_LATITUDE = ("latitude_deg", "latitude", "lat")
_LONGITUDE = ("longitude_deg", "longitude", "lon", "lng", "long")
_LENGTH = ("length_km", "length", "distance_km", "distance", "dist")
_LOSS = ("loss_db", "loss", "attenuation_db")
_DB_PER_KM = ("db_per_km", "loss_db_per_km", "attenuation_db_per_km")
_ATTENUATION = ("attenuation", "attenuation_coefficient")
"""Without a unit: SeQUeNCe has dB per metre, most others dB per km."""
MOST_DB_PER_METRE = 0.01
"""A smaller attenuation without a unit is taken as dB per metre (10 dB per km), a larger one as dB per km: no fibre has
so little in a kilometre, nor so much in a metre."""
_TITLE = ("title", "label", "name")
"""The Internet Topology Zoo, for one, writes Latitude, Longitude and label."""


def node_from(key: str, said: Mapping[str, Any]) -> Node:
    """Return a node by what its attributes say, whatever their capitals; raises ValueError for no number."""
    lower = {str(name).lower(): value for name, value in said.items()}
    latitude, longitude = (_number(lower, names, f"node {key!r}") for names in (_LATITUDE, _LONGITUDE))
    title = next((str(lower[name]) for name in _TITLE if name in lower), key)
    kind = str(lower.get("kind", ""))
    return Node(
        key=key,
        title=title,
        place=None if latitude is None or longitude is None else (latitude, longitude),
        kind=kind if kind in ("user", "relay") else "",
    )


def fibre_from(sender: str, detector: str, said: Mapping[str, Any]) -> Fibre:
    """Return a fibre by what an edge's attributes say: lengths in km, losses in dB, or in dB per km. An attenuation
    without a unit is taken by its size.

    Raises ValueError for no number, and for an edge from a node to itself.
    """
    what = f"the edge of {sender!r} and {detector!r}"
    if sender == detector:
        raise ValueError(f"{what} joins the same site with itself; take it out")
    lower = {str(name).lower(): value for name, value in said.items()}
    return Fibre(
        sender=sender,
        detector=detector,
        length_km=_number(lower, _LENGTH, what),
        loss_db=_number(lower, _LOSS, what),
        system=str(lower.get("system", "")),
        name=str(lower.get("name", "")),
        db_per_km=_db_per_km(lower, what),
    )


def each_once(
    fibres: Sequence[Fibre],
    *,
    is_multigraph: bool,
    source: str,
    if_two: str,
    remark: Callable[[str], None],
) -> list[Fibre]:
    """Return the fibres of a graph whose edges may be written twice, there and back: the first of two that are alike.

    is_multigraph: two nodes may have several edges; each pairs with one that is alike the other way, and the rest are
    fibres of their own. Else all of two nodes are one. if_two: how to write two fibres of the same nodes; remark: is
    told how many were written twice. Raises NetworkFileError where edges differ that must be one.
    """
    alone: dict[frozenset[str], list[Fibre]] = {}
    kept: list[Fibre] = []
    for fibre in fibres:
        others = alone.setdefault(frozenset((fibre.sender, fibre.detector)), [])
        back = replace(fibre, sender=fibre.detector, detector=fibre.sender)
        if back in others:
            if is_multigraph:  # no third one is the same
                others.remove(back)
        elif is_multigraph or not others:
            others.append(fibre)
            kept.append(fibre)
        elif fibre != others[0]:
            raise _two_of_one(others[0], fibre, source, if_two)
    if twice := len(fibres) - len(kept):
        remark(f"edges written there and back: {twice}; each is one link, which sends from where it came first")
    return kept


def _two_of_one(first: Fibre, second: Fibre, source: str, if_two: str) -> NetworkFileError:
    fields = ("length_km", "loss_db", "db_per_km", "system", "name")
    differ = [field for field in fields if getattr(first, field) != getattr(second, field)]
    said = ", ".join(f"{field} {getattr(first, field)!r} and {getattr(second, field)!r}" for field in differ)
    return NetworkFileError(
        f"the edges from {first.sender!r} to {first.detector!r} and from {second.sender!r} to {second.detector!r} "
        f"differ ({said})",
        source=source,
        line=None,
        remedy=f"give both the same, or write one of them; {if_two}",
    )


def unheard(_remark: str) -> None:
    """Take a remark that nobody wants to hear."""


def remark_units(edges: Iterable[Mapping[str, Any]], remark: Callable[[str], None]) -> None:
    """Say how attenuations were taken of which the unit is not said, where a loss follows from one."""
    bare = [names for said in edges if not (names := {str(one).lower() for one in said}).isdisjoint(_ATTENUATION)]
    if number := sum(names.isdisjoint((*_LOSS, *_DB_PER_KM)) for names in bare):
        remark(
            f"the unit of 'attenuation' is not said, at {number} edges: taken as dB per km, or as dB per metre where "
            f"it is below {MOST_DB_PER_METRE:g}; call it attenuation_db_per_km to be sure"
        )


def _db_per_km(said: Mapping[str, Any], what: str) -> float | None:
    if (said_so := _number(said, _DB_PER_KM, what)) is not None:
        return said_so
    bare = _number(said, _ATTENUATION, what)
    return bare * METRES_PER_KM if bare is not None and bare < MOST_DB_PER_METRE else bare


def _number(said: Mapping[str, Any], names: tuple[str, ...], what: str) -> float | None:
    for name in names:
        if name in said and said[name] not in ("", None):
            try:
                return float(said[name])
            except (TypeError, ValueError):
                raise ValueError(f"{what} has {said[name]!r} for its {name}, which is no number") from None
    return None
