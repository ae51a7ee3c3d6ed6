"""``qanat up``: a network that stays up, on the same data folder from one start to the next."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import shlex
import signal
from collections.abc import Awaitable, Sequence
from pathlib import Path

from rich.markup import escape

from qanat.adapters.addresses import write_whole
from qanat.adapters.awaited import AwaitedFirstLoop
from qanat.adapters.folder_lock import held
from qanat.adapters.http_server import require_free
from qanat.adapters.physical_entropy import EntropySource
from qanat.apps import machine
from qanat.apps.bootstrap import HOST, Service
from qanat.apps.cli.presentation import RunView, show_curl
from qanat.apps.cli.service_record import SERVICE_FILE, ServiceRecord
from qanat.apps.cli.up_cities import show_cities
from qanat.apps.event_log import EventLog
from qanat.apps.networks import load_network
from qanat.apps.site import LOCK_PATIENCE_S
from qanat.apps.workplace import default_folder
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Network

MAX_PORT = 65_535
FILES_OF_A_SITE = 24
"""What a site that is open has open at most: sockets, store, audit log, lines to its neighbours."""
FILES_OF_A_PAIR = 4
"""Two sites whose users have had keys of each other have a line each to the other, and both its ends are here."""
LOOK_PERIOD_S = 0.5
"""How often a running network looks whether its sites come and go."""
MOST_DOORS_SHOWN = 40
"""Of a larger network its cities are shown; ``--json`` and the service file have every door."""

SLEEP_AFTER_S = 600.0
"""A site that nobody has used for so long is closed, and opened again by whoever calls it."""
PASSES_EVERY_S = 300.0
"""Between two passes of satellites: hours are left out."""
STOPPED_EARLY = "stopped before it was up; the next start goes on from here"

OTHER_PORTS = "`--port NUMBER` takes the ports above that number, `--port 0` any that are free"


def run_up(
    name: str,
    *,
    data: Path | None,
    port: int,
    apart: Sequence[str],
    as_json: bool,
    entropy_source: EntropySource | None = None,
    passes_every_s: float = PASSES_EVERY_S,
    light_share: float = 1.0,
    sleep_after_s: float | None = SLEEP_AFTER_S,
) -> int:
    """Run until interrupted (Ctrl-C or SIGTERM), without the sites ``apart``. Returns 0 after a clean stop."""
    network = load_network(name)
    nodes = [network.site(NodeId(site)).node for site in apart]
    folder = (data or default_folder(network)).resolve()
    ports = range(port + 1, port + 1 + len(network.nodes)) if port else ()
    if ports and ports[-1] > MAX_PORT:
        raise ConfigurationError(
            f"the {len(ports)} doors above port {port} go beyond {MAX_PORT}", remedy="name a lower --port, or 0"
        )
    doors = [number for number, node in zip(ports, network.nodes, strict=False) if node not in nodes]
    if not folder.exists():
        require_free(HOST, doors, option=OTHER_PORTS)  # a start that cannot be leaves nothing behind
    with held(folder, patience_s=LOCK_PATIENCE_S):
        require_free(HOST, doors, option=OTHER_PORTS)
        num_sites = len(network.nodes)
        machine.allow_open_files(FILES_OF_A_SITE * num_sites + FILES_OF_A_PAIR * math.comb(num_sites, 2))
        machine.spare_tls_buffers()
        machine.collect_seldom()
        machine.take_turns_often()
        sky = (passes_every_s, light_share)
        with asyncio.Runner(loop_factory=AwaitedFirstLoop) as runner:
            runner.run(_serve(network, name, folder, ports, nodes, as_json, entropy_source, sky, sleep_after_s))
    return 0


async def _serve(
    network: Network,
    name: str,
    folder: Path,
    ports: range | tuple[()],
    apart: Sequence[NodeId],
    as_json: bool,
    entropy_source: EntropySource | None,
    sky: tuple[float, float],
    sleep_after_s: float | None,
) -> None:
    """Serve until told to stop. ``sky``: seconds between two passes, and the share of their light that is used."""
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
            on_demand=True,
            sleep_after_s=sleep_after_s,
            passes_every_s=sky[0],
            light_share=sky[1],
        )
        if network.downlinks:
            view.say(
                f"satellites: a pass {sky[0]:g} s after the last one, in the order of the timetable; the hours "
                "between passes are left out"
                + (f"; {100 * sky[1]:g} % of each pass's light is used" if sky[1] < 1 else "")
                + ("; clouds are drawn by the odds of the file" if any(site.p_clear for site in network.sites) else "")
            )
        service.place.claim(network)
        if service.entropy_server is not None:
            stack.push_async_callback(service.entropy_server.close)
            view.say(f"start-up tests of the entropy source {escape(str(service.entropy_server.source.path))}")
            if not await _came_first(service.entropy_server.start(), stop):
                view.say(STOPPED_EARLY)
                return
        async with service:
            warming = asyncio.create_task(service.warm_up(), name="warm-up")
            if not machine.num_compiled_kernels():
                view.say("preparing (once): compiling and loading the kernels")
                if not await _came_first(warming, stop):
                    view.say(STOPPED_EARLY)
                    return
            machine.settle_heap()
            record = ServiceRecord(service, name)
            write_whole(service_file, record.text())
            if as_json:
                print(json.dumps(record.now()), flush=True)
            _show(view, service, record)
            try:
                await _watch(service, record, view, service_file, stop, warming=warming)
            finally:
                service_file.unlink(missing_ok=True)
                warming.cancel()
                await asyncio.gather(warming, return_exceptions=True)
        view.say("stopped; keys stay in their stores, and the next start goes on with them")


async def _came_first(work: Awaitable[None], stop: asyncio.Event) -> bool:
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


async def _watch(
    service: Service,
    record: ServiceRecord,
    view: RunView,
    file: Path,
    stop: asyncio.Event,
    *,
    warming: asyncio.Task[None],
) -> None:
    """Wait until the end; meanwhile tell which sites that run apart answer, and keep the service file as things are.
    Raises what ``warming`` raises, the loading of kernels, for which no door need wait."""
    state, num_open = record.state(), len(service.doors)
    answering, heap = dict.fromkeys(service.apart, False), machine.HeapKeeper()
    while not stop.is_set():
        if warming.done():
            warming.result()
        for node in service.apart:
            if (answers := record.answers(node)) != answering[node]:
                answering[node] = answers
                view.say(f"site {node} answers" if answering[node] else f"site {node} is gone; start it again with:")
                if not answering[node]:
                    view.say(f"  {shlex.join(record.node_command(node))}")
        if (now := record.state()) != state:
            state = now
            write_whole(file, record.text())
            heap.note(has_closed=len(service.doors) < num_open)
            num_open = len(service.doors)
        if service.is_quiet:
            heap.settle_if_due()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_PERIOD_S):
                await stop.wait()


def _show(view: RunView, service: Service, record: ServiceRecord) -> None:
    network = service.network
    view.say(f"[bold]{network.title or network.name}[/] is up; data in {service.place.folder}; Ctrl-C stops it")
    if len(network.nodes) > MOST_DOORS_SHOWN:
        show_cities(view, service)
    else:
        _show_doors(view, service, record)
    for node in service.apart:
        if not record.answers(node):
            view.say(f"Site {node} runs apart; start it with:")
            view.say(f"  {shlex.join(record.node_command(node))}")
    if pair := _neighbours(network):
        one, other = pair
        if url := record.url(NodeId(one.site)):
            files = service.place.sae_files(one.name)
            url = f"{url}/api/v1/keys/{network.sae(other.name)}/enc_keys"
            show_curl(view, one.name, other.name, files=files, url=url)


def _show_doors(view: RunView, service: Service, record: ServiceRecord) -> None:
    network = service.network
    view.show_table(
        "Doors (ETSI GS QKD 014, mutual TLS)",
        ("site", "door", "applications"),
        [
            (
                network.site(node).title or node,
                record.url(node) or "apart",
                ", ".join(app.name for app in network.applications if app.site == node) or "-",
            )
            for node in network.nodes
        ],
    )


def _neighbours(network: Network) -> tuple[Application, Application] | None:
    """Return two applications of different sites; of a large network two that a link joins, whose keys come soon."""
    apps = network.applications
    if len(network.nodes) <= MOST_DOORS_SHOWN:
        return next(((one, other) for one in apps for other in apps if one.site != other.site), None)
    at = {app.site: app for app in apps}
    joined = (link for link in network.links if link.transmitter in at and link.receiver in at)
    return next(((at[link.transmitter], at[link.receiver]) for link in joined), None)
