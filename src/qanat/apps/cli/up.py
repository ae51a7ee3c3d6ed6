"""``qanat up``: a network that stays up, on the same data folder from one start to the next."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from collections.abc import Coroutine
from pathlib import Path

from qanat.adapters.folder_lock import held
from qanat.adapters.http_server import require_free
from qanat.apps import machine
from qanat.apps.bootstrap import HOST, Service
from qanat.apps.cli.presentation import RunView
from qanat.apps.event_log import EventLog
from qanat.apps.networks import load_network
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network

MAX_PORT = 65_535
SERVICE_FILE = "service.json"
"""In the data folder while the network is up: where its doors are."""


def run_up(name: str, *, data: Path | None, port: int, as_json: bool) -> int:
    """Run until interrupted (Ctrl-C or SIGTERM). Returns 0 after a clean stop."""
    network = load_network(name)
    folder = (data or default_folder(network)).resolve()
    ports = range(port + 1, port + 1 + len(network.nodes)) if port else ()
    if ports and ports[-1] > MAX_PORT:
        raise ConfigurationError(
            f"the {len(ports)} doors above port {port} go beyond {MAX_PORT}", remedy="name a lower --port, or 0"
        )
    if not folder.exists():
        require_free(HOST, ports)  # a start that cannot be leaves nothing behind
    with held(folder):
        require_free(HOST, ports)
        asyncio.run(_serve(network, folder, ports, as_json))
    return 0


def default_folder(network: Network) -> Path:
    """Return the network's folder in the user's data home (XDG base directories)."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "qanat" / network.name


async def _serve(network: Network, folder: Path, ports: range | tuple[()], as_json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    _check_same_network(network, folder)
    with RunView() as view, EventLog(path=folder / "events.jsonl") as log:
        log.listen(view.on_event)
        workers = max(1, machine.num_cores() - 1)
        async with Service(network, folder, log=log, ports=ports, num_workers=workers) as service:
            view.say("preparing (once): compiling and loading the kernels")
            if not await _came_first(service.warm_up(), stop):
                return
            record = service_record(service)
            service_file = folder / SERVICE_FILE
            service_file.write_text(json.dumps(record, indent=2), encoding="utf-8")
            if as_json:
                print(json.dumps(record), flush=True)
            _show(view, service)
            try:
                await stop.wait()
            finally:
                service_file.unlink(missing_ok=True)
        view.say("stopped; keys stay in their stores, and the next start goes on with them")


async def _came_first(work: Coroutine[None, None, None], stop: asyncio.Event) -> bool:
    """Return whether ``work`` finished before the user's stop, which wins over whatever becomes of the work."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        return False
    await working
    return True


def service_record(service: Service) -> dict[str, object]:
    """Return where a running service can be reached, as JSON has it."""
    network, place = service.network, service.place
    return {
        "network": network.name,
        "pid": os.getpid(),
        "ca": str(place.pki / "ca.pem"),
        "doors": {node: {"url": service.door_url(node), "kme": network.kme(node)} for node in service.doors},
        "applications": {
            app.name: {
                "sae": network.sae(app.name),
                "url": service.door_url(network.site_of(network.sae(app.name)).node),
                "certificate": str(place.sae_files(app.name).certificate),
                "key": str(place.sae_files(app.name).key),
            }
            for app in network.applications
        },
    }


def _check_same_network(network: Network, folder: Path) -> None:
    """Refuse a data folder of another network: its certificates would name nodes that are not here."""
    note = folder / "network"
    if not note.exists():
        note.write_text(network.name + "\n", encoding="utf-8")
    elif (found := note.read_text(encoding="utf-8").strip()) != network.name:
        raise ConfigurationError(
            f"{folder} holds the data of network {found!r}, not of {network.name!r}",
            remedy="name another folder with --data",
        )


def _show(view: RunView, service: Service) -> None:
    network = service.network
    view.say(f"[bold]{network.title or network.name}[/] is up; data in {service.place.folder}; Ctrl-C stops it")
    view.show_table(
        "Doors (ETSI GS QKD 014, mutual TLS)",
        ("site", "door", "applications"),
        [
            (
                network.site(node).title or node,
                service.door_url(node),
                ", ".join(app.name for app in network.applications if app.site == node) or "-",
            )
            for node in service.doors
        ],
    )
    pairs = [(a, b) for a in network.applications for b in network.applications if a.site != b.site]
    if pairs:
        one, other = pairs[0]
        files = service.place.sae_files(one.name)
        url = service.door_url(network.site_of(network.sae(one.name)).node)
        credentials = f"--cacert {_quoted(files.ca)} --cert {_quoted(files.certificate)} --key {_quoted(files.key)}"
        view.say(f"A key that {one.name} shares with {other.name} (503 while it is being made: ask again):")
        view.say(f"  curl {credentials} {url}/api/v1/keys/{network.sae(other.name)}/enc_keys")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
