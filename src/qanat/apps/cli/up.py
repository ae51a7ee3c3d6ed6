"""``qanat up``: a network that stays up, on the same data folder from one start to the next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path

from rich.markup import escape

from qanat.adapters.addresses import write_whole
from qanat.adapters.folder_lock import held
from qanat.adapters.http_server import require_free
from qanat.adapters.physical_entropy import EntropySource
from qanat.apps import machine
from qanat.apps.bootstrap import HOST, Service
from qanat.apps.cli.presentation import RunView, show_curl
from qanat.apps.entropy_watch import entropy_record
from qanat.apps.event_log import EventLog
from qanat.apps.networks import load_network_to_run
from qanat.apps.workplace import default_folder
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Network

MAX_PORT = 65_535
SERVICE_FILE = "service.json"
"""In the data folder while the network is up: where its doors are, and which of its sites answer."""
LOOK_PERIOD_S = 0.5
"""How often a running network looks whether its sites that run apart come and go."""


STOPPED_EARLY = "stopped before it was up; the next start goes on from here"


def run_up(
    name: str,
    *,
    data: Path | None,
    port: int,
    apart: Sequence[str],
    as_json: bool,
    entropy_source: EntropySource | None = None,
) -> int:
    """Run until interrupted (Ctrl-C or SIGTERM), without the sites ``apart``. Returns 0 after a clean stop."""
    network = load_network_to_run(name)
    nodes = [network.site(NodeId(site)).node for site in apart]
    folder = (data or default_folder(network)).resolve()
    ports = range(port + 1, port + 1 + len(network.nodes)) if port else ()
    if ports and ports[-1] > MAX_PORT:
        raise ConfigurationError(
            f"the {len(ports)} doors above port {port} go beyond {MAX_PORT}", remedy="name a lower --port, or 0"
        )
    doors = [number for number, node in zip(ports, network.nodes, strict=False) if node not in nodes]
    if not folder.exists():
        require_free(HOST, doors)  # a start that cannot be leaves nothing behind
    with held(folder):
        require_free(HOST, doors)
        asyncio.run(_serve(network, name, folder, ports, nodes, as_json, entropy_source))
    return 0


async def _serve(
    network: Network,
    name: str,
    folder: Path,
    ports: range | tuple[()],
    apart: Sequence[NodeId],
    as_json: bool,
    entropy_source: EntropySource | None,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    service_file = folder / SERVICE_FILE
    service_file.unlink(missing_ok=True)  # one that a killed process left behind tells of another life
    workers = max(1, machine.num_cores() - 1)
    async with contextlib.AsyncExitStack() as stack:
        view = stack.enter_context(RunView())
        log = stack.enter_context(EventLog(path=folder / "events.jsonl"))
        log.listen(view.on_event)
        service = Service(
            network,
            folder,
            log=log,
            ports=ports,
            num_workers=workers,
            apart=apart,
            entropy_source=entropy_source,
        )
        service.place.claim(network)
        if service.entropy_server is not None:
            stack.push_async_callback(service.entropy_server.close)
            view.say(f"start-up tests of the entropy source {escape(str(service.entropy_server.source.path))}")
            if not await _came_first(service.entropy_server.start(), stop):
                view.say(STOPPED_EARLY)
                return
        async with service:
            view.say("preparing (once): compiling and loading the kernels")
            if not await _came_first(service.warm_up(), stop):
                view.say(STOPPED_EARLY)
                return
            machine.settle_heap()
            record = service_record(service, name)
            write_whole(service_file, json.dumps(record, indent=2))
            if as_json:
                print(json.dumps(record), flush=True)
            _show(view, service, name)
            try:
                await _watch(service, name, view, service_file, stop)
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


async def _watch(service: Service, name: str, view: RunView, service_file: Path, stop: asyncio.Event) -> None:
    """Wait until the end; meanwhile tell which sites that run apart answer, and keep the service file as things are."""
    record = service_record(service, name)
    looks = bool(service.apart) or service.entropy_server is not None
    answering = dict.fromkeys(service.apart, False)
    while not stop.is_set():
        for node in service.apart:
            if (answers := _answers(service, node)) != answering[node]:
                answering[node] = answers
                view.say(f"site {node} answers" if answering[node] else f"site {node} is gone; start it again with:")
                if not answering[node]:
                    view.say(f"  {shlex.join(node_command(service, name, node))}")
        if (now := service_record(service, name)) != record:
            record = now
            write_whole(service_file, json.dumps(record, indent=2))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_PERIOD_S if looks else None):
                await stop.wait()


def service_record(service: Service, name: str) -> dict[str, object]:
    """Return where a running service of the network called ``name`` can be reached, and how its devices' entropy
    stands, as JSON has it.

    ``url`` is null for the door of a site that runs apart and has not said where its door is. Such a site answers once
    its modules' line stands and, where it has applications, its door is open.
    """
    network, place = service.network, service.place
    return {
        "network": network.name,
        "pid": os.getpid(),
        "ca": str(place.pki / "ca.pem"),
        "doors": {node: {"url": service.door_url(node), "kme": network.kme(node)} for node in service.doors},
        "apart": {
            node: {
                "kme": network.kme(node),
                "answers": _answers(service, node),
                "url": _url(service, node),
                "command": node_command(service, name, node),
            }
            for node in service.apart
        },
        "entropy": entropy_record(service.entropy_server),
        "applications": {app.name: _application_record(service, app) for app in network.applications},
    }


def node_command(service: Service, name: str, node: NodeId) -> list[str]:
    """Return the command that runs a site apart, beside this service, from whatever folder."""
    network = str(Path(name).resolve()) if Path(name).exists() else name
    command = ["qanat", "node", network, node, "--data", str(service.place.folder)]
    return [*command, "--port", str(service.door_port(node))] if service.door_port(node) else command


def _application_record(service: Service, app: Application) -> dict[str, object]:
    network, files = service.network, service.place.sae_files(app.name)
    sae = network.sae(app.name)
    return {
        "sae": sae,
        "url": _url(service, network.site_of(sae).node),
        "certificate": str(files.certificate),
        "key": str(files.key),
    }


def _url(service: Service, node: NodeId) -> str | None:
    """Return where a site's door is: in this process, or where the site's own process said, or was told to put it."""
    if node in service.doors:
        return service.door_url(node)
    host, port = service.place.addresses.find("doors", node) or (HOST, service.door_port(node))
    return f"https://{host}:{port}" if port and _has_door(service, node) else None


def _answers(service: Service, node: NodeId) -> bool:
    """Return whether a site that runs apart serves: its line to the modules stands before its door opens."""
    door_is_open = not _has_door(service, node) or service.place.addresses.find("doors", node) is not None
    return service.module_desks[node].is_connected and door_is_open


def _has_door(service: Service, node: NodeId) -> bool:
    return any(app.site == node for app in service.network.applications)


def _show(view: RunView, service: Service, name: str) -> None:
    network = service.network
    view.say(f"[bold]{network.title or network.name}[/] is up; data in {service.place.folder}; Ctrl-C stops it")
    view.show_table(
        "Doors (ETSI GS QKD 014, mutual TLS)",
        ("site", "door", "applications"),
        [
            (
                network.site(node).title or node,
                _url(service, node) or "apart",
                ", ".join(app.name for app in network.applications if app.site == node) or "-",
            )
            for node in network.nodes
        ],
    )
    for node in service.apart:
        if not _answers(service, node):
            view.say(f"Site {node} runs apart; start it with:")
            view.say(f"  {shlex.join(node_command(service, name, node))}")
    pairs = [(a, b) for a in network.applications for b in network.applications if a.site != b.site]
    if pairs and (url := _url(service, NodeId(pairs[0][0].site))):
        one, other = pairs[0]
        files = service.place.sae_files(one.name)
        show_curl(view, one.name, other.name, files=files, url=f"{url}/api/v1/keys/{network.sae(other.name)}/enc_keys")
