"""Where the processes of a deployment listen, and who answers there: free ports, peers that prove who they are, clocks
that agree."""

from __future__ import annotations

import asyncio
import http.client
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from qanat.adapters.addresses import Address, ListenerKind
from qanat.adapters.http_server import require_free
from qanat.adapters.tcp_channel import connect_channel
from qanat.adapters.tls import TlsFiles, client_context
from qanat.apps.deployment import Deployment, Places
from qanat.apps.host_review import Finding, Party, files_of
from qanat.apps.workplace import Workplace
from qanat.ground.errors import ChannelError, ConfigurationError
from qanat.ground.identifiers import NodeId

KNOCK_S = 3.0
CLOCKS_AGREE_S = 5.0
"""A door tells its time in whole seconds, and an answer takes a while."""


@dataclass(frozen=True, slots=True)
class Listener:
    """Something that a party listens at."""

    party: Party
    kind: ListenerKind

    @property
    def title(self) -> str:
        what = {"transports": "other processes", "doors": "applications", "devices": "far ends of its devices"}
        return f"{self.party.title}, for {what.get(self.kind, 'its two sites')}"


class PlaceReview:
    """Looks at the listeners of a deployment from this host, as one of its parties here."""

    def __init__(
        self, deployment: Deployment, place: Workplace, *, here: Sequence[Party], others: Sequence[Party]
    ) -> None:
        self._deployment = deployment
        self._places = Places(place.addresses, deployment.fixed)
        self._here = here
        self._others = others
        self._files = self._credentials(place)

    def findings(self) -> Iterator[Finding]:
        """Yield what was found; takes some seconds for each that does not answer."""
        doors: list[tuple[Listener, Address]] = []
        for party in (*self._here, *self._others):
            is_here = party in self._here
            for listener in self._listeners(party):
                address = self._places.find(listener.kind, party.name)
                if is_here and not party.is_running:
                    yield self._vacant(listener)
                    continue
                found = self._knocked(listener, address, is_here=is_here)
                yield found
                if listener.kind == "doors" and found.state == "well" and address is not None:
                    doors.append((listener, address))
        yield from (self._clock(listener, address) for listener, address in doors)

    def _credentials(self, place: Workplace) -> TlsFiles | None:
        """Return the first certificate here that loads."""
        for party in self._here:
            try:
                files = files_of(party, self._deployment, place)
                client_context(files)
            except ConfigurationError:
                continue
            return files
        return None

    def _listeners(self, party: Party) -> Iterator[Listener]:
        if party.kind == "twin":
            yield Listener(party, "twins")
            return
        yield Listener(party, "transports")
        if party.kind == "site":
            network = self._deployment.network
            if any(application.site == party.name for application in network.applications):
                yield Listener(party, "doors")
            if any(link.modules is not None for link in network.links_of(NodeId(party.name))):
                yield Listener(party, "devices")

    def _vacant(self, listener: Listener) -> Finding:
        """Look whether a process that does not run could listen where it is to."""
        host, port = self._places.listen_at(listener.kind, listener.party.name)
        start = f"start it with `{listener.party.command}`"
        if not port:
            return Finding(listener.title, "down", "does not run; it takes any free port", start)
        try:
            require_free(host, [port])
        except ConfigurationError as fault:
            remedy = "stop what listens there, or name another port; `bind: 0.0.0.0` where host is an address outside"
            return Finding(listener.title, "fault", fault.message, remedy)
        return Finding(listener.title, "down", f"does not run; {host}:{port} is free", start)

    def _knocked(self, listener: Listener, address: Address | None, *, is_here: bool) -> Finding:
        if address is None:
            remedy = "name its host and port in the deployment file, unless it is to run here"
            return Finding(listener.title, "look", "nothing says where it listens", remedy)
        at = f"{address[0]}:{address[1]}"
        if self._files is None:
            remedy = "see to the certificates first"
            return Finding(listener.title, "look", f"{at} was not asked: no certificate here is good", remedy)
        why = asyncio.run(_why_silent(address, self._files, listener.party.identity))
        if why is None:
            return Finding(listener.title, "well", f"answers at {at}")
        look_at = "look at its terminal" if is_here else "see that it runs there, at the names, addresses and firewalls"
        return Finding(listener.title, "fault" if is_here else "down", why, look_at)

    def _clock(self, listener: Listener, address: Address) -> Finding:
        """Compare this machine's clock with that of a door."""
        subject = f"clock of {listener.party.title}"
        assert self._files is not None
        try:
            behind_s = _behind_s(address, client_context(self._files))
        except (OSError, ValueError, http.client.HTTPException) as fault:
            return Finding(subject, "look", f"the door does not tell its time: {fault}", "look at its log")
        if abs(behind_s) > CLOCKS_AGREE_S:
            which = "behind" if behind_s > 0 else "ahead of"
            remedy = "set both clocks by NTP: ages of keys and certificates depend on them"
            return Finding(subject, "look", f"this machine is {abs(behind_s):.0f} s {which} it", remedy)
        return Finding(subject, "well", f"agrees with this machine's within {CLOCKS_AGREE_S:.0f} s")


async def _why_silent(address: Address, files: TlsFiles, identity: str) -> str | None:
    """Return why nobody who proves to be ``identity`` answers; None when it does."""
    try:
        tls = client_context(files, expected_peer=identity)
        channel = await connect_channel(*address, timeout_s=KNOCK_S, tls=tls)
    except ChannelError as fault:
        return fault.message
    await channel.close()
    return None


def _behind_s(address: Address, tls: ssl.SSLContext) -> float:
    """Return by how much this machine's clock is behind a door's; raises OSError, ValueError, HTTPException."""
    connection = http.client.HTTPSConnection(*address, timeout=KNOCK_S, context=tls)
    try:
        connection.request("GET", "/")
        told = connection.getresponse().headers["date"]
        if told is None:
            raise ValueError("its answer has no date")
        return parsedate_to_datetime(told).timestamp() + 0.5 - time.time()
    finally:
        connection.close()
