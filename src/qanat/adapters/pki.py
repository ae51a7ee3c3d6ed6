"""A network's own PKI: its authority, a certificate per node and per application, an initial key per link.

    <folder>/ca.pem                       the authority's certificate: every party trusts it and nothing else
    <folder>/authority/ca.key             its key: needed to issue, never to run; keep it off the nodes
    <folder>/nodes/<node>.{pem,key}       key managers and the controller: TLS server and client
    <folder>/saes/<application>.{pem,key} applications: TLS client
    <folder>/twins/<link>.{pem,key}       twins of links that run in a process of their own: TLS server
    <folder>/links/<link>.auth            the first pads of each link's authentication, carried to both ends by hand
    <folder>/links/<link>.made            says when they were made: they are not made again once they were taken in.
                                          ``forget_initial_key`` removes it: the link gets fresh pads.
    <folder>/links/<link>.taken/<node>    says that this end has taken them from this copy
    <folder>/devices/<link>.<node>.{pem,key,ca.pem}  not ours: what a site's own device of a link knows it by, and the
                                          device's authority

What is there is never touched; what a network that has grown lacks is added. Folders have mode 0700, keys 0600.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from qanat.adapters.authority import Authority
from qanat.adapters.initial_keys import initial_key_path, made_mark, write_initial_key
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import destroy_private, write_private
from qanat.ground.clock import format_utc
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import CONTROLLER, STANDBY, LinkId, NodeId, twin_id
from qanat.ground.network import Link, Network
from qanat.ground.ports import Clock, Entropy

NO_HOSTS: Mapping[NodeId, str] = {}
WRITERS = 8
"""Files that are written at a time: a disk brings many to safety as fast as one."""


@dataclass(frozen=True, slots=True)
class PartyFiles:
    """The three files with which a party joins mutual TLS. All exist."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def _of(cls, folder: Path, kind: str, name: str) -> Self:
        files = cls(folder / "ca.pem", folder / kind / f"{name}.pem", folder / kind / f"{name}.key")
        for path in (files.ca, files.certificate, files.key):
            if not path.is_file():
                raise ConfigurationError(
                    f"{path} is not there",
                    remedy="make certificates with `qanat pki`, or name the folder that has them",
                )
        return files


class NodeFiles(PartyFiles):
    """Those of a key manager, or of the controller."""

    @classmethod
    def of(cls, folder: Path, node: NodeId) -> Self:
        """Return the files of a node; raises ConfigurationError when one is not there."""
        return cls._of(folder, "nodes", node)


class SaeFiles(PartyFiles):
    """Those of an application."""

    @classmethod
    def of(cls, folder: Path, name: str) -> Self:
        """Return the files of an application by its name (not its URN); raises ConfigurationError."""
        return cls._of(folder, "saes", name)


class TwinFiles(PartyFiles):
    """Those of a link's twin."""

    @classmethod
    def of(cls, folder: Path, link_id: LinkId) -> Self:
        """Return the files of the twin of a link; raises ConfigurationError when one is not there."""
        return cls._of(folder, "twins", link_id)


@dataclass(frozen=True, slots=True)
class MadeParts:
    """What ``create_pki`` made: names of sites (the controller among them) and applications, ids of links; ``twins``
    are the links whose twins got certificates."""

    nodes: tuple[NodeId, ...]
    applications: tuple[str, ...]
    links: tuple[LinkId, ...]
    twins: tuple[LinkId, ...] = ()


def create_pki(
    folder: Path,
    network: Network,
    *,
    entropy: Entropy,
    clock: Clock,
    sessions_per_day: Mapping[LinkId, float],
    reserve_days: float = 10.0,
    for_twins: bool = False,
    hosts: Mapping[NodeId, str] = NO_HOSTS,
) -> MadeParts:
    """Make the PKI of a network in ``folder``, or what one that is there lacks; return what was made.

    A new one (``folder`` absent or empty) appears whole or not at all. The initial key of a link pays for
    ``reserve_days`` of its ``sessions_per_day`` distillation sessions. Private keys come from the cryptography
    library's own generator, link keys and serial numbers from ``entropy``. ``for_twins``: with a certificate for the
    twin of each link that has one, and for a second controller, which then can run in processes of their own.
    ``hosts``: where the doors of sites are called from elsewhere; new certificates name them, as clients want it that
    compare the host with the certificate.

    Raises ConfigurationError when something else is in ``folder``, or when a certificate is missing and the
    authority's key is not there; MachineFault when the machine does not let it be written.
    """
    if taken := {CONTROLLER, STANDBY} & set(network.nodes):
        raise ConfigurationError(
            f"a site is called {min(taken)!r}, which is the name of a controller", remedy="rename the site"
        )
    keys = _InitialKeys(entropy, clock, sessions_per_day, reserve_days)
    twins = [link.link_id for link in network.links if for_twins and link.modules is None]
    add = partial(_add_missing, network=network, keys=keys, twins=twins, for_standby=for_twins, hosts=hosts)
    with machine_faults_named(folder):
        if _holds_pki(folder):
            return add(folder, authority=lambda: Authority.load(folder, network, entropy, clock))
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix=f"{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
        ) as scratch:
            making = Path(scratch) / "pki"
            making.mkdir(mode=0o700)
            authority = Authority.create(network.name, entropy, clock)
            authority.write(making)
            made = add(making, authority=lambda: authority)
            making.rename(folder)
            return made


def _holds_pki(folder: Path) -> bool:
    """Return whether ``folder`` has a PKI; False when it is absent or empty. Raises ConfigurationError."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is a file, and a folder is needed", remedy="name another place")
    if (folder / "ca.pem").is_file():
        return True
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder} is not empty and has no PKI; nothing is put among other files", remedy="choose another folder"
        )
    return False


def _add_missing(
    folder: Path,
    *,
    network: Network,
    authority: Callable[[], Authority],
    keys: _InitialKeys,
    twins: Sequence[LinkId],
    for_standby: bool,
    hosts: Mapping[NodeId, str],
) -> MadeParts:
    """Write what the PKI in ``folder`` lacks. ``authority`` is asked for only when there is something to issue."""
    for name in ("authority", "nodes", "saes", "twins", "links"):
        (folder / name).mkdir(mode=0o700, exist_ok=True)
    apart = (STANDBY,) if for_standby else ()
    nodes = [node for node in (*network.nodes, CONTROLLER, *apart) if not _has_party(folder / "nodes" / node)]
    applications = [app.name for app in network.applications if not _has_party(folder / "saes" / app.name)]
    twins = [link_id for link_id in twins if not _has_party(folder / "twins" / link_id)]
    parties = [
        *((folder / "nodes" / node, network.kme(node), True, _of(hosts, node)) for node in nodes),
        *((folder / "saes" / name, network.sae(name), False, ()) for name in applications),
        *((folder / "twins" / link, twin_id(network=network.name, link_id=link), True, ()) for link in twins),
    ]
    if parties:
        issuer = authority()
        with ThreadPoolExecutor(WRITERS) as writers:

            def write(path: Path, urn: str, is_node: bool, hosts: tuple[str, ...]) -> None:
                _write_party(path, *issuer.issue(urn, is_node=is_node, hosts=hosts))

            list(writers.map(lambda party: write(*party), parties))
    return MadeParts(tuple(nodes), tuple(applications), keys.add_missing(folder, network.links), tuple(twins))


def _of(hosts: Mapping[NodeId, str], node: NodeId) -> tuple[str, ...]:
    return (hosts[node],) if node in hosts else ()


def _has_party(path: Path) -> bool:
    """Return whether a party's certificate is there: it is written after the key."""
    return path.with_name(f"{path.name}.pem").is_file()


def _write_party(path: Path, certificate: bytes, key: bytes) -> None:
    # names may hold dots, so the suffix is appended, not replaced
    key_path = path.with_name(f"{path.name}.key")
    key_path.unlink(missing_ok=True)  # without its certificate it is what an interruption left
    write_private(key_path, key)
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(certificate)
    partial.rename(path.with_name(f"{path.name}.pem"))


@dataclass(frozen=True, slots=True)
class _InitialKeys:
    """Makes the initial keys of links."""

    entropy: Entropy
    clock: Clock
    sessions_per_day: Mapping[LinkId, float]
    reserve_days: float

    def add_missing(self, folder: Path, links: Sequence[Link]) -> tuple[LinkId, ...]:
        """Make the keys of those links for which none was ever made here; return their ids."""
        missing = [link for link in links if not made_mark(folder, link.link_id).exists()]
        with ThreadPoolExecutor(WRITERS) as writers:
            list(writers.map(lambda link: self._make(folder, link), missing))
        return tuple(link.link_id for link in missing)

    def _make(self, folder: Path, link: Link) -> None:
        """Make the key of one link, and say when: without that it is what an interruption left."""
        path = initial_key_path(folder, link.link_id)
        destroy_private(path)
        num_sessions = math.ceil(self.reserve_days * self.sessions_per_day[link.link_id])
        write_initial_key(
            path,
            link,
            num_bits=max(1, num_sessions) * SESSION_PAD_BITS,
            entropy=self.entropy,
            utc_s=self.clock.utc_s(),
        )
        made_mark(folder, link.link_id).write_text(format_utc(self.clock.utc_s()) + "\n", encoding="utf-8")
