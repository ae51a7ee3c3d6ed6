"""``qanat node``: one site of a network in a process of its own, beside ``qanat up --apart SITE``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

from qanat.adapters.system import SystemClock
from qanat.apps.apart import ApartSite, await_modules
from qanat.apps.cli.presentation import RunView
from qanat.apps.event_log import EventLog
from qanat.apps.machine import settle_heap
from qanat.apps.networks import load_network
from qanat.apps.workplace import Workplace, default_folder
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network

LOOK_PERIOD_S = 0.5
"""How often a running site looks whether its modules come and go."""


def run_node(name: str, site: str, *, data: Path | None, port: int, wait_s: float, as_json: bool) -> int:
    """Run until interrupted (Ctrl-C or SIGTERM). Returns 0 after a clean stop.

    Waits ``wait_s`` for ``qanat up``, which serves the site's modules and has prepared its store; raises
    ConfigurationError when it does not come, UnknownNode for a site that the network does not have.
    """
    network = load_network(name)
    node = network.site(NodeId(site)).node
    place = Workplace((data or default_folder(network)).resolve())
    place.check(network)
    asyncio.run(_serve(network, node, place, port=port, wait_s=wait_s, as_json=as_json))
    return 0


async def _serve(network: Network, node: NodeId, place: Workplace, *, port: int, wait_s: float, as_json: bool) -> None:
    with RunView() as view:
        view.say(f"site {node}: looking for `qanat up` on {place.folder}")
        await await_modules(network, node, place, clock=SystemClock(), patience_s=wait_s)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop.set)
        with EventLog(path=place.site(node) / "events.jsonl") as log:
            log.listen(view.on_event)
            async with ApartSite(network, node, place.folder, log=log, port=port) as site:
                settle_heap()
                if as_json:
                    print(json.dumps(site_record(site)), flush=True)
                _show(view, site)
                await _watch(view, site, stop)
        view.say("stopped; keys stay in their store, and the next start goes on with them")


def site_record(site: ApartSite) -> dict[str, object]:
    """Return what runs here and where its door is (null without applications), as JSON has it."""
    return {
        "network": site.network.name,
        "site": site.node,
        "kme": site.network.kme(site.node),
        "pid": os.getpid(),
        "url": site.door_url,
        "modules": [module.module_id for module in site.modules.modules],
    }


def _show(view: RunView, site: ApartSite) -> None:
    title = site.network.site(site.node).title or site.node
    modules = ", ".join(module.module_id for module in site.modules.modules)
    view.say(f"[bold]{title}[/] is up; data in {site.place.site(site.node)}; Ctrl-C stops it")
    view.say(f"QKD modules: {modules}")
    view.say(f"door (ETSI GS QKD 014, mutual TLS): {site.door_url or 'none, no application is here'}")


async def _watch(view: RunView, site: ApartSite, stop: asyncio.Event) -> None:
    """Wait until the end, and tell whether the modules answer."""
    are_here = True
    while not stop.is_set():
        if site.modules.is_connected != are_here:
            are_here = site.modules.is_connected
            view.say(
                "the QKD modules answer again"
                if are_here
                else "the QKD modules are gone: is `qanat up` running? Keys in stock are given meanwhile"
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_PERIOD_S):
                await stop.wait()
