"""A QKD link as it is described."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Protocol, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network.modules import Modules
from qanat.ground.network.names import Heading, Name
from qanat.ground.network.part import Part, fault_of_field

MOST_PAIRS = 40
"""Pairs on one fibre: the channels of a 100-GHz grid in the C band (ITU-T G.694.1)."""


class Joining(Protocol):
    """What joins two sites."""

    @property
    def ends(self) -> tuple[NodeId, NodeId]: ...


J = TypeVar("J", bound=Joining)


def first_of_each_pair(links: Iterable[J]) -> tuple[J, ...]:
    """Return of all links between the same two sites the first: the one that keys are relayed over."""
    first: dict[frozenset[NodeId], J] = {}
    for link in links:
        first.setdefault(frozenset(link.ends), link)
    return tuple(first.values())


class Link(Part):
    """A QKD link: a transmitter, a receiver, the system they are of, and the fibre between them."""

    name: Name
    transmitter: str
    receiver: str
    system: str
    loss_db: float = Field(ge=0, le=100)
    length_km: float = Field(gt=0, le=1000)
    pairs: int = Field(default=1, ge=1, le=MOST_PAIRS)
    """Pairs of modules side by side on the one fibre, each on a wavelength of its own; ``loss_db`` is of each."""
    disturbance: float = Field(default=0.0, ge=0, le=0.5)
    """Odds that somebody on the line flips a photon's bit; for rehearsals of an attack. Twins only."""
    counted_as: Heading = ""
    modules: Modules | None = None
    """What stands at its ends; None: a twin. Then ``system`` and ``loss_db`` only say what to expect."""
    assumed: bool = False
    """Whether ends, loss or length were made up by a rule that the file states, for want of a source."""
    through: tuple[str, ...] = Field(default=(), strict=False)
    """Switches that its light passes, from the transmitter on. Such links follow from ports and stand in no file."""
    kind: Literal["fibre", "downlink", "announced"] = "fibre"
    """"downlink": from a satellite to a station, which makes key in passes alone; "announced": between two stations,
    whose key a satellite has announced. Both follow from the file's ``downlinks`` and do not stand among its links."""
    satellite: str = ""
    """Of a downlink and of an announced link: the satellite, a trusted node that knows its key."""

    @property
    def link_id(self) -> LinkId:
        return LinkId(self.name)

    @property
    def makes_key_on_order(self) -> bool:
        """Whether it makes key when it is ordered to: a satellite's links do in their time."""
        return self.kind == "fibre"

    @property
    def ends(self) -> tuple[NodeId, NodeId]:
        """Transmitter's and receiver's node."""
        return NodeId(self.transmitter), NodeId(self.receiver)

    def peer_of(self, node: NodeId) -> NodeId:
        """Return the other end; raises UnknownNode when ``node`` is at neither."""
        if node not in self.ends:
            raise UnknownNode(f"{node!r} is no end of link {self.name!r}, which joins {' and '.join(self.ends)}")
        return self.ends[1] if node == self.ends[0] else self.ends[0]

    @model_serializer(mode="wrap")
    def _written_without_fibre(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A satellite's links have neither a loss nor a length that would hold from one second to the next."""
        said: dict[str, Any] = written(self)
        if self.kind != "fibre":
            for field in ("loss_db", "length_km"):
                said.pop(field, None)
        return said

    @model_validator(mode="after")
    def _two_ends(self) -> Link:
        if self.transmitter == self.receiver:
            raise fault_of_field(
                "transmitter and receiver are the same site; a link joins two",
                remedy="name the other site as one of them",
            )
        if self.modules is not None and self.disturbance:
            raise fault_of_field(
                "a disturbance can be set of a twin only, and devices stand at the ends of this link",
                remedy="remove it, or the modules",
            )
        return self
