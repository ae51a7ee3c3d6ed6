"""The doors of a running network, asked side by side whether they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from qanat.adapters.tcp_channel import connect_channel
from qanat.adapters.tls import TlsFiles, client_context
from qanat.client import Client
from qanat.ground.errors import ConfigurationError, PeerProtocolError, QanatError
from qanat.ground.identifiers import SaeId

ASLEEP = "sleeps"
AT_ONCE = 8
"""So many doors are asked side by side: one that does not answer keeps its caller for seconds."""


def asked_doors(service: Mapping[str, Any]) -> dict[str, str]:
    """Ask every open door of a running network for a status, those of sites that run apart too; returns node -> answer.

    A relay's door serves no application, and would take down any that asks: there a handshake is enough. A site that
    sleeps is let sleep: its port listens as long as the service is there.
    """
    doors = service["doors"] | {node: site for node, site in service["apart"].items() if site["url"]}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(doors, pool.map(lambda node: _answer(service, node, doors[node]), doors), strict=True))


def _answer(service: Mapping[str, Any], node: str, door: Mapping[str, Any]) -> str:
    """Return what one door says. Whatever a key manager answers, a refusal included, is an answer."""
    url = door["url"]
    if node in service["doors"] and node not in service["open"]:
        return f"{ASLEEP} at {url}: opens when it is called"
    applications = list(service["applications"].values())
    own = next((app for app in applications if app["url"] == url), None)
    app = own or applications[0]
    files = TlsFiles(certificate=Path(app["certificate"]), key=Path(app["key"]), ca=Path(service["ca"]))
    try:
        if own is None:
            asyncio.run(_greet(url, files, door["kme"]))
            return f"answers at {url}: no application here"
        peer = next(other["sae"] for other in applications if other is not app)
        with Client(url, tls=files, sae=SaeId(app["sae"]), kme=door["kme"], retry_for_s=1.0) as client:
            return f"answers at {url}: {client.get_status(SaeId(peer)).stored_key_count} keys in stock"
    except (PeerProtocolError, ConfigurationError) as fault:
        return f"does not answer at {url}: {fault}"
    except QanatError as fault:
        return f"answers at {url}: {fault.message}"


async def _greet(url: str, files: TlsFiles, kme: str) -> None:
    """Shake hands with a door and go; raises ChannelError when nobody who proves to be ``kme`` is there."""
    place = urlsplit(url)
    channel = await connect_channel(
        place.hostname or "", place.port or 443, tls=client_context(files, expected_peer=kme)
    )
    await channel.close()
