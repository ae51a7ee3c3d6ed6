"""``qanat node --config``, ``qanat twin``, ``qanat controller``: a network of processes that stand for themselves.

Each loads its own parts alone, when it is run: to load them is half of a start.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rich.markup import escape

from qanat.apps.cli.presentation import RunView, show_curl
from qanat.apps.cli.stopping import stop_asked
from qanat.apps.deployment import Deployment, load_deployment
from qanat.apps.event_log import EventLog
from qanat.apps.machine import settle_heap
from qanat.apps.networks import load_network
from qanat.apps.workplace import Workplace, default_folder
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import CONTROLLER, STANDBY, LinkId, NodeId

if TYPE_CHECKING:
    from qanat.adapters.physical_entropy import EntropySource
    from qanat.apps.node_site import NodeSite

LOOK_PERIOD_S = 0.5
"""How often a process looks whether those that it works with come and go."""


class Other(Protocol):
    """Another process, seen from this one."""

    @property
    def is_connected(self) -> bool: ...


def named_deployment(network: str | None, config: Path | None) -> Deployment:
    """Return the deployment that the options name: a file, or a network on this machine; raises ConfigurationError."""
    if config is not None and network is not None:
        raise ConfigurationError(
            "a network and a deployment file are named, and the file names its own network", remedy="leave one out"
        )
    if config is not None:
        return load_deployment(config)
    if network is None:
        raise ConfigurationError("no network is named", remedy="name one, or a deployment file with --config")
    return Deployment(load_network(network), network)


def workplace_of(deployment: Deployment, data: Path | None) -> Workplace:
    """Return the folder of a process: that of the option, of the deployment, or of the user's data home."""
    place = Workplace((data or deployment.folder or default_folder(deployment.network)).resolve())
    place.check(deployment.network)
    return place


def run_node_alone(config: Path, *, site: str | None, data: Path | None, port: int, as_json: bool) -> int:
    """Run a site until interrupted (Ctrl-C or SIGTERM). Returns 0 after a clean stop."""
    deployment = load_deployment(config)
    name = site or deployment.site
    if not name:
        raise ConfigurationError(f"{config} does not say which site runs here", remedy="add 'site: NAME', or --site")
    node = deployment.network.site(NodeId(name)).node
    asyncio.run(_serve_node(deployment, node, workplace_of(deployment, data), port=port, as_json=as_json))
    return 0


def run_twin(
    network: str | None,
    *,
    link: str,
    config: Path | None,
    data: Path | None,
    source: EntropySource | None = None,
    as_json: bool,
) -> int:
    """Run the twin of a link until interrupted; its devices draw from ``source``, if there is one. Returns 0 after a
    clean stop; raises EntropyFailed when the source does not pass its tests at the start."""
    deployment = named_deployment(network, config)
    link_id = deployment.network.link(LinkId(link)).link_id
    asyncio.run(_serve_twin(deployment, link_id, workplace_of(deployment, data), source=source, as_json=as_json))
    return 0


def run_controller(
    network: str | None,
    *,
    config: Path | None,
    data: Path | None,
    standby: bool,
    as_json: bool,
    forecasts: Path | None = None,
) -> int:
    """Run the controller of a network, or its ``standby``, until interrupted. Returns 0 after a clean stop.

    Raises ConfigurationError, also for a file of ``forecasts`` that does not hold."""
    deployment = named_deployment(network, config)
    local = STANDBY if standby else CONTROLLER
    if forecasts is not None:
        from qanat.apps.forecast_file import read_forecasts

        read_forecasts(forecasts, network=deployment.network)  # one that is named is there
    asyncio.run(_serve_controller(deployment, workplace_of(deployment, data), local, forecasts, as_json=as_json))
    return 0


async def _serve_node(deployment: Deployment, node: NodeId, place: Workplace, *, port: int, as_json: bool) -> None:
    from qanat.apps.node_site import NodeSite, require_on_ground

    require_on_ground(deployment.network, node)
    place.node_files(node)  # where they lack, no folder is left behind
    stop = stop_asked()
    place.make(node)
    with RunView(of_service=True) as view, EventLog(path=place.site(node) / "events.jsonl") as log:
        log.listen(view.on_event)
        async with NodeSite(deployment, node, place, log=log, door_port=port) as site:
            settle_heap()
            _tell({**_record(deployment), **_site_record(site)}, as_json)
            title = site.network.site(node).title or node
            view.say(f"[bold]{title}[/] is up; data in {place.site(node)}; Ctrl-C stops it")
            view.say(f"QKD modules: {', '.join(site.module_ids)}")
            if site.links_without_light:
                names = ", ".join(site.links_without_light)
                view.say(f"without key here: {names}; satellites pass in `qanat up` alone, with its sites apart")
            view.say(f"door (ETSI GS QKD 014, mutual TLS): {site.door_url or 'none, no application is here'}")
            _show_curl(view, site)
            await _watch(view, stop, {f"the twin of {link}": twin for link, twin in site.twins.items()})
        view.say("stopped; keys stay in their store, and the next start goes on with them")


async def _serve_twin(
    deployment: Deployment, link_id: LinkId, place: Workplace, *, source: EntropySource | None, as_json: bool
) -> None:
    from qanat.apps.entropy_watch import entropy_record
    from qanat.apps.twin_process import TwinProcess, require_twin

    require_twin(deployment.network.link(link_id))
    place.twin_files(link_id)  # where they lack, no folder is left behind
    stop = stop_asked()
    with RunView(of_service=True) as view, EventLog(path=place.twin(link_id) / "events.jsonl") as log:
        log.listen(view.on_event)
        if source is not None:
            view.say(f"start-up tests of the entropy source {escape(str(source.path))} come first")
        view.say("preparing (once): compiling and loading the kernels")
        async with TwinProcess(deployment, link_id, place, log=log, entropy_source=source) as twin:
            entropy = entropy_record(twin.entropy_server)
            _tell({**_record(deployment), "link": link_id, "port": twin.port, "entropy": entropy}, as_json)
            view.say(f"the twin of [bold]{link_id}[/] is up at port {twin.port}; Ctrl-C stops it")
            await _watch(view, stop, {f"site {node}": desk for node, desk in twin.desks.items()})
        view.say("stopped; a block that was not finished is lost, and its pads stay spent")


async def _serve_controller(
    deployment: Deployment, place: Workplace, local: NodeId, forecasts: Path | None, *, as_json: bool
) -> None:
    from qanat.apps.controller_process import ControllerProcess, require_standby

    require_standby(deployment, local)
    place.node_files(local)  # where they lack, no folder is left behind
    stop = stop_asked()
    place.make(local)
    with RunView(of_service=True) as view, EventLog(path=place.site(local) / "events.jsonl") as log:
        log.listen(view.on_event)
        async with ControllerProcess(deployment, place, log=log, local=local, forecasts=forecasts) as controller:
            settle_heap()
            _tell({**_record(deployment), "port": controller.port}, as_json)
            view.say(f"the {local} is up at port {controller.port}; Ctrl-C stops it")
            await stop.wait()
        view.say("stopped; the sites go on with the routes that they have, and no new key is made")


def _record(deployment: Deployment) -> dict[str, object]:
    return {"network": deployment.network.name, "pid": os.getpid()}


def _site_record(site: NodeSite) -> dict[str, object]:
    """Return what runs here and where its door is (null without applications), as JSON has it."""
    applications = [app for app in site.network.applications if app.site == site.node]
    files = {app.name: site.place.sae_files(app.name) for app in applications if _has_files(site, app.name)}
    return {
        "site": site.node,
        "kme": site.network.kme(site.node),
        "url": site.door_url,
        "modules": site.module_ids,
        "ca": str(site.place.pki / "ca.pem"),
        "applications": {
            name: {
                "sae": site.network.sae(name),
                "url": site.door_url,
                "certificate": str(file.certificate),
                "key": str(file.key),
            }
            for name, file in files.items()
        },
    }


def _show_curl(view: RunView, site: NodeSite) -> None:
    """Print a line that gets a key, for the first application here that has certificates and somebody to talk to."""
    network, applications = site.network, site.network.applications
    for one in applications:
        other = next((app for app in applications if app.site != site.node), None)
        if one.site == site.node and other is not None and site.door_url and _has_files(site, one.name):
            url = f"{site.door_url}/api/v1/keys/{network.sae(other.name)}/enc_keys"
            files, door = site.place.sae_files(one.name), site.place.node_files(site.node).certificate
            show_curl(view, one.name, other.name, files=files, url=url, door=door)
            return


def _has_files(site: NodeSite, name: str) -> bool:
    """Return whether an application's certificate lies here: it may be on another host."""
    return (site.place.pki / "saes" / f"{name}.pem").is_file()


def _tell(record: Mapping[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(record), flush=True)


async def _watch(view: RunView, stop: asyncio.Event, others: Mapping[str, Other]) -> None:
    """Wait until the end, and tell whenever one of the others comes or goes."""
    are_here = dict.fromkeys(others, False)
    while not stop.is_set():
        for name, other in others.items():
            if other.is_connected != are_here[name]:
                are_here[name] = other.is_connected
                view.say(f"{name} answers" if are_here[name] else f"{name} is gone; it is found again by itself")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_PERIOD_S):
                await stop.wait()
