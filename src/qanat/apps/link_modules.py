"""The modules of a site's links that are no twins: devices behind ETSI 014 doors, and key files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from qanat.adapters.exchange_ends import FollowingModule, LeadingModule
from qanat.adapters.exchanged_module import ExchangedModule
from qanat.adapters.key_sources import KeySource
from qanat.adapters.module_post import ModulePost
from qanat.adapters.tls import TlsFiles
from qanat.adapters.used_keys import UsedKeys
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Etsi014Modules, KeyFileModules, Link
from qanat.ground.network.satellites import COMPARED_AS_BITS_PER_S, WEEK_S
from qanat.ground.orders import LinkCapability
from qanat.ground.ports import Clock, Entropy, Tasks, Transport
from qanat.quantum_layer.forecast import expected_capability

PASSES_PER_WEEK = 14
"""Sessions of a downlink: two passes a day that are dark, at most."""


def device_files(place: Workplace, link: Link, node: NodeId) -> TlsFiles:
    """Return where a site keeps its certificate for its device of a link, and the device's authority."""
    name = place.pki / "devices" / f"{link.name}.{node}"
    return TlsFiles(
        certificate=name.with_name(f"{name.name}.pem"),
        key=name.with_name(f"{name.name}.key"),
        ca=name.with_name(f"{name.name}.ca.pem"),
    )


def link_capability(link: Link) -> LinkCapability:
    """Return what a link is expected to give: by its devices' own rate where that is said, else by its system's; of a
    satellite's links the mean over a week."""
    if not link.makes_key_on_order:
        return LinkCapability(link.link_id, COMPARED_AS_BITS_PER_S, WEEK_S / PASSES_PER_WEEK)
    expected = expected_capability(link.link_id, link.system, loss_db=link.loss_db, pairs=link.pairs)
    if isinstance(link.modules, Etsi014Modules):
        rate = link.modules.expected_rate_bits_per_s or expected.expected_rate_bits_per_s
        return LinkCapability(link.link_id, rate, link.modules.block_bits / max(rate, 1.0))
    return expected


class LocalModules:
    """Makes the ends at one site; they share its post. Devices and files are let go when the site's tasks end."""

    def __init__(
        self, node: NodeId, place: Workplace, transport: Transport, *, tasks: Tasks, clock: Clock, entropy: Entropy
    ) -> None:
        self._node = node
        self._place = place
        self._tasks = tasks
        self._clock = clock
        self._post = ModulePost(transport, tasks=tasks, entropy=entropy)
        self._sources: list[KeySource] = []
        self._post.begin()
        tasks.start(self._let_go_at_the_end(), name=f"{node}: devices and key files")

    def make(self, links: Sequence[Link]) -> dict[str, ExchangedModule]:
        """Return this site's end of each link, by the link's name; they are at work from now on."""
        modules = {link.name: self._module(link) for link in links}
        for module in modules.values():
            module.begin()
        return modules

    async def _let_go_at_the_end(self) -> None:
        """Close the sources only when nobody works with them any more: all tasks of a site end together."""
        try:
            await asyncio.Event().wait()
        finally:
            for source in self._sources:
                await source.close()

    def _module(self, link: Link) -> ExchangedModule:
        is_transmitter = link.ends[0] == self._node
        source = self._source(link, is_transmitter)
        self._sources.append(source)
        kind = LeadingModule if is_transmitter else FollowingModule
        return kind(
            link,
            self._node,
            source,
            capability=link_capability(link),
            post=self._post,
            tasks=self._tasks,
            clock=self._clock,
        )

    def _source(self, link: Link, is_transmitter: bool) -> KeySource:
        site = self._place.site(self._node)
        used = UsedKeys(site / "used-keys" / f"{link.name}.sqlite")
        match link.modules:
            case Etsi014Modules() as settings:
                ends = (settings.transmitter, settings.receiver)
                own, other = ends if is_transmitter else ends[::-1]
                files = device_files(self._place, link, self._node)
                _require(files, link, self._node)
                from qanat.adapters.device_door import DeviceDoor  # with its HTTP client, which few sites need

                return DeviceDoor(own, peer_sae=other.sae, settings=settings, tls=files, used=used)
            case KeyFileModules() as settings:
                said = settings.transmitter_folder if is_transmitter else settings.receiver_folder
                folder = site / (Path(said) if said else Path("key-files") / link.name)
                from qanat.apps.key_file_source import KeyFileSource  # loads compiled loops, which doors do without

                return KeyFileSource(folder, link_id=link.link_id, origin=settings.origin, used=used)
        raise ConfigurationError(f"link {link.name!r} has a twin", remedy="run it with `qanat twin`")


def _require(files: TlsFiles, link: Link, node: NodeId) -> None:
    for path in (files.certificate, files.key, files.ca):
        if not path.is_file():
            raise ConfigurationError(
                f"{path} is not there: site {node!r} cannot call its device of link {link.name!r}",
                remedy="put there the certificate and key that the device knows this site by, and the device's"
                " authority; `qanat device-emulator` makes all three for its own devices",
            )
