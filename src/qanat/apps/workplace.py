"""The folder that the processes of a network on one machine live in."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.addresses import AddressBook, ListenerKind
from qanat.adapters.own_certificate import check_own_certificate
from qanat.adapters.pki import NodeFiles, SaeFiles, TwinFiles
from qanat.adapters.tcp_channel import connect_channel
from qanat.adapters.tls import TlsFiles, client_context
from qanat.ground.errors import ChannelError, ConfigurationError
from qanat.ground.identifiers import KmeId, LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folder of a network: certificates, stores, event log, master key, and where its processes listen."""

    folder: Path

    @property
    def pki(self) -> Path:
        return self.folder / "pki"

    @property
    def events(self) -> Path:
        return self.folder / "events.jsonl"

    @property
    def addresses(self) -> AddressBook:
        return AddressBook(self.folder / "addresses")

    @property
    def master_key(self) -> Path:
        return self.folder / "master.key"

    def master_key_of(self, node: NodeId) -> Path:
        """Return where the master key of a site's store is: its own, if it has one, or that of the whole folder."""
        own = self.own_master_key(node)
        return own if own.exists() else self.master_key

    def own_master_key(self, node: NodeId) -> Path:
        """Return where a site that runs by itself has its master key."""
        return self.site(node) / "master.key"

    def twin_files(self, link_id: LinkId) -> TlsFiles:
        """Return the certificate of a link's twin."""
        files = TwinFiles.of(self.pki, link_id)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

    def site(self, node: NodeId) -> Path:
        """Return the folder of one site, which one process holds."""
        return self.folder / node

    def twin(self, link_id: LinkId) -> Path:
        """Return the folder of a link's twin, which one process holds."""
        return self.folder / "twins" / link_id

    def make(self, node: NodeId) -> None:
        """Make the folder of a site, for its owner alone."""
        for folder in (self.folder, self.site(node)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def store(self, node: NodeId) -> Path:
        return self.site(node) / "keys.sqlite"

    def node_files(self, node: NodeId) -> TlsFiles:
        """Return the certificate of a site's key manager, or of the controller."""
        files = NodeFiles.of(self.pki, node)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

    def check_node_files(self, network: Network, node: NodeId, *, clock: Clock) -> None:
        """Raise ConfigurationError unless the certificate of a site's key manager, or of the controller, is its own."""
        check_own_certificate(self.node_files(node), identity=network.kme(node), clock=clock)

    def sae_files(self, name: str) -> TlsFiles:
        """Return the certificate of an application."""
        files = SaeFiles.of(self.pki, name)
        return TlsFiles(certificate=files.certificate, key=files.key, ca=files.ca)

    async def answers(self, kind: ListenerKind, node: NodeId, *, kme: KmeId) -> bool:
        """Return whether somebody who proves to be a site's own listens where it was last said to."""
        address = self.addresses.find(kind, node)
        if address is None:
            return False
        try:
            channel = await connect_channel(*address, tls=client_context(self.node_files(node), expected_peer=kme))
        except ChannelError:
            return False
        await channel.close()
        return True

    def claim(self, network: Network) -> None:
        """Make this the folder of ``network``; raises ConfigurationError when it is another one's."""
        _write_if_new(self.folder / "network", network.name)
        self.check(network)

    def claim_site(self, node: NodeId) -> None:
        """Make this the folder of a site; raises ConfigurationError when it is another one's, moved or copied here.

        Pads of that other site would be spent under a second name.
        """
        note = self.site(node) / "site"
        _write_if_new(note, node)
        if (found := note.read_text(encoding="utf-8").strip()) != node:
            raise ConfigurationError(
                f"{self.site(node)} is the folder of site {found!r}, not of {node!r}",
                remedy=f"bring it back to where it belongs; a site that was renamed: write the new name into {note}",
            )

    def check(self, network: Network) -> None:
        """Refuse the data of another network, whose certificates would name nodes that are not here."""
        note = self.folder / "network"
        if note.exists() and (found := note.read_text(encoding="utf-8").strip()) != network.name:
            raise ConfigurationError(
                f"{self.folder} holds the data of network {found!r}, not of {network.name!r}",
                remedy="name another folder with --data",
            )


def _write_if_new(note: Path, name: str) -> None:
    """Write a note unless there is one, in one step: of processes that start together one writes, all read it whole."""
    if note.exists():
        return
    descriptor, partial = tempfile.mkstemp(prefix=f".{note.name}.", dir=note.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(name + "\n")
        with suppress(FileExistsError):
            os.link(partial, note)
    finally:
        Path(partial).unlink()


def default_folder(network: Network) -> Path:
    """Return the network's folder in the user's data home (XDG base directories)."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "qanat" / network.name
