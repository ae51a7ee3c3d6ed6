"""What other programs call the things that a node and an edge of a graph may say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qanat.ground.network.exchange.foreign import Fibre, Node

_LATITUDE = ("latitude_deg", "latitude", "lat")
_LONGITUDE = ("longitude_deg", "longitude", "lon", "lng", "long")
_LENGTH = ("length_km", "length", "distance_km", "distance", "dist")
_LOSS = ("loss_db", "loss", "attenuation_db")
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
    """Return a fibre by what an edge's attributes say: lengths in km, losses in dB.

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
    )


def _number(said: Mapping[str, Any], names: tuple[str, ...], what: str) -> float | None:
    for name in names:
        if name in said and said[name] not in ("", None):
            try:
                return float(said[name])
            except (TypeError, ValueError):
                raise ValueError(f"{what} has {said[name]!r} for its {name}, which is no number") from None
    return None
