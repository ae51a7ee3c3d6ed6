"""Where the processes of a network stand, when each site runs in one of its own: a file that is the same for all.

    format: qanat-deployment/1
    network: three-nodes            # a packaged network, or a file beside this one
    data: data                      # folder of this host, beside this file; by default in the user's data home
    site: suzhou                    # what `qanat node --config` runs here, unless --site says it
    controller: {host: 192.0.2.1, port: 9000}
    standby: {host: 192.0.2.3, port: 9000}    # a second controller (`qanat controller --standby`); none without it
    sites:
      suzhou: {host: 192.0.2.1, port: 9001, door_port: 8801}
      kunshan: {host: 192.0.2.2, port: 9001}
    twins:
      suzhou-kunshan: {host: 192.0.2.1, port: 9101}

What is not named listens on this machine at any free port, and is found through ``addresses/`` of the data folder.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from qanat.adapters.addresses import Address, AddressBook, ListenerKind
from qanat.apps.networks import load_network, text_of
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.identifiers import STANDBY, NodeId
from qanat.ground.network import Network, read_described
from qanat.ground.network.names import nearest
from qanat.ground.network.part import Part, fault_of_field
from qanat.ground.network.reading import line_of

HOST = "127.0.0.1"
ADVICE = "begin with 'format: qanat-deployment/1'; docs/how-to-run-sites-by-themselves.md has one"


class Place(Part):
    """Where a process listens: others reach it at ``host``; ``bind`` is the interface, by default just that host."""

    host: str = Field(default=HOST, min_length=1, max_length=253)
    port: int = Field(default=0, ge=0, le=65_535)
    bind: str = ""

    @model_validator(mode="after")
    def _found_from_elsewhere(self) -> Place:
        if self.host != HOST and not self.port:
            raise fault_of_field(
                "this place is on a host of its own, and no port says where",
                remedy="name the port that the other hosts call",
            )
        return self


class SitePlace(Place):
    """``port`` serves the other key managers and the controller, ``door_port`` the site's applications,
    ``devices_port`` the far ends of its links whose modules are devices or key files."""

    door_port: int = Field(default=0, ge=0, le=65_535)
    devices_port: int = Field(default=0, ge=0, le=65_535)


class DeploymentFile(Part):
    """The file as it is written."""

    format: Literal["qanat-deployment/1"]
    network: str = Field(min_length=1)
    data: str = ""
    site: str = ""
    controller: Place = Place()
    standby: Place | None = None
    sites: dict[str, SitePlace] = Field(default_factory=dict)
    twins: dict[str, Place] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everybody listens: at the fixed places of a deployment, or where the data folder's ``book`` says."""

    book: AddressBook
    fixed: Mapping[tuple[ListenerKind, str], Place] = field(default_factory=dict)

    def find(self, kind: ListenerKind, name: str) -> Address | None:
        """Return where a listener can be reached, None while that is not known."""
        place = self.fixed.get((kind, name))
        return (place.host, place.port) if place is not None and place.port else self.book.find(kind, name)

    def listen_at(self, kind: ListenerKind, name: str) -> Address:
        """Return the interface and port that a listener is to take; port 0: any."""
        place = self.fixed.get((kind, name))
        return (HOST, 0) if place is None else (place.bind or place.host, place.port)

    def publish(self, kind: ListenerKind, name: str, port: int) -> None:
        """Say which port a listener got."""
        place = self.fixed.get((kind, name))
        self.book.publish(kind, name, (HOST if place is None else place.host, port))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A network with the places of its processes. ``name`` is how the network was named; ``folder`` is None where the
    user's data home is to be taken, ``file`` where no file says all this."""

    network: Network
    name: str
    folder: Path | None = None
    site: str = ""
    fixed: Mapping[tuple[ListenerKind, str], Place] = field(default_factory=dict)
    file: Path | None = None

    @property
    def has_standby(self) -> bool:
        """Whether there is a second controller."""
        return ("transports", STANDBY) in self.fixed

    @property
    def door_hosts(self) -> Mapping[NodeId, str]:
        """The host at which the door of each site is called, of those that are called from other machines."""
        doors = {NodeId(name): place.host for (kind, name), place in self.fixed.items() if kind == "doors"}
        return {node: host for node, host in doors.items() if host != HOST}

    def twin_command(self, link: str) -> str:
        """Return the command, as it is typed beside this process, that runs the twin of a link."""
        words = ["--config", str(self.file)] if self.file is not None else []
        return shlex.join(["qanat", "twin", *words, "--link", link])


def load_deployment(path: Path) -> Deployment:
    """Return the deployment in a file; raises ConfigurationError with the line of what is wrong."""
    text = text_of(path, remedy="name a deployment file")
    root, said = read_described(text, DeploymentFile, source=str(path), advice=ADVICE)
    beside = path.parent / said.network
    name = str(beside.resolve()) if beside.is_file() else said.network
    network = _network(name, source=str(path), line=line_of(root, ("network",)))
    if faults := [
        NetworkFileError(message, source=str(path), line=line_of(root, at), remedy=remedy)
        for message, at, remedy in (*_names_of_nothing(said, network), *_places_taken_twice(said))
    ]:
        raise NetworkFileError.of_all(faults)
    fixed: dict[tuple[ListenerKind, str], Place] = {("transports", "controller"): said.controller}
    if said.standby is not None:
        fixed["transports", STANDBY] = said.standby
    for node, place in said.sites.items():
        fixed["transports", node] = place
        fixed["doors", node] = place.model_copy(update={"port": place.door_port})
        fixed["devices", node] = place.model_copy(update={"port": place.devices_port})
    for link, twin in said.twins.items():
        fixed["twins", link] = twin
    return Deployment(network, name, path.parent / said.data if said.data else None, said.site, fixed, path)


def _network(name: str, *, source: str, line: int) -> Network:
    """Return the network that a deployment names; a fault inside its file has that file's name and line."""
    try:
        return load_network(name)
    except NetworkFileError:
        raise
    except ConfigurationError as fault:
        raise NetworkFileError(
            fault.message,
            source=source,
            line=line,
            remedy="name a packaged network, or a file by its path from the folder of this one",
        ) from None


_Fault = tuple[str, tuple[str, ...], str]
"""What is wrong, the path of fields to it, and what to do."""


def _names_of_nothing(said: DeploymentFile, network: Network) -> Iterator[_Fault]:
    """Yield the sites and links that the network does not have."""
    links = [link.name for link in network.links]
    for node in said.sites:
        if node not in network.nodes:
            yield f"no site {node!r} in this network", ("sites", node), nearest(node, network.nodes)
    for link in said.twins:
        if link not in links:
            yield f"no link {link!r} in this network", ("twins", link), nearest(link, links)
    if said.site and said.site not in network.nodes:
        yield f"no site {said.site!r} in this network", ("site",), nearest(said.site, network.nodes)


def _places_taken_twice(said: DeploymentFile) -> Iterator[_Fault]:
    """Yield the ports of one host that two listeners are to have."""
    ports: list[tuple[str, int, tuple[str, ...]]] = [
        (said.controller.host, said.controller.port, ("controller", "port"))
    ]
    if said.standby is not None:
        ports.append((said.standby.host, said.standby.port, ("standby", "port")))
    for node, site in said.sites.items():
        for name, port in (("port", site.port), ("door_port", site.door_port), ("devices_port", site.devices_port)):
            ports.append((site.host, port, ("sites", node, name)))
    ports += [(twin.host, twin.port, ("twins", link, "port")) for link, twin in said.twins.items()]
    taken: dict[tuple[str, int], tuple[str, ...]] = {}
    for host, port, at in ports:
        before = taken.setdefault((host, port), at) if port else at
        if before != at:
            message = f"{'.'.join(at)}: port {port} of {host} is that of {'.'.join(before)} already"
            yield message, at, "give each listener of a host a port of its own"
