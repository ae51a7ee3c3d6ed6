"""The demonstration: a network comes up, a file and a letter cross it on keys made from photons, and all is checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Protocol, TypeAlias

from rich.markup import escape

from qanat.adapters.physical_entropy import EntropySource
from qanat.adapters.system import SystemEntropy
from qanat.apps import machine
from qanat.apps.bootstrap import Service
from qanat.apps.demo import findings
from qanat.apps.demo.space import found_in_space, go_by_satellite, make_passes, sender_beyond, space_checks
from qanat.apps.demo.watching import SAMPLE_PERIOD_S, PoolSampler, count_prepared, door_latency, pool_name
from qanat.apps.door_probe import DoorProbe, Question
from qanat.apps.entropy_watch import entropy_record
from qanat.apps.event_log import EventLog
from qanat.apps.proof import KeyProof
from qanat.apps.report import Check, DemoResult
from qanat.apps.sky import MadePass
from qanat.apps.transfer import Courier, Delivery
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event, Json
from qanat.ground.network import Application, Network
from qanat.ground.units import format_size
from qanat.services.file_delivery import Progress
from qanat.services.file_names import file_name_for_all

GENERATED_FILE_BYTES = 10_000_000
LETTER = "From {sender} to {receiver}: keys are born from photons, carried by a relay we trust, and used once.\n"
IDLE_PATIENCE_S = 30.0
"""How long the demonstration waits for idle time to fill the pools end to end."""


class View(Protocol):
    """Who watches the demonstration."""

    def say(self, text: str) -> None: ...

    def on_event(self, event: Event) -> None: ...

    def show_progress(self, name: str, fraction: float, note: str = "") -> None: ...


async def demonstrate(
    network: Network,
    folder: Path,
    *,
    file: Path | None,
    view: View,
    entropy_source: EntropySource | None = None,
    light_share: float = 1.0,
) -> DemoResult:
    """Run the demonstration in ``folder`` (empty) and return what it found. Raises what any part raises.

    light_share: of satellites' passes so much of the light is used.
    entropy_source: a physical generator for the devices; by default they draw from the operating system's.
    """
    sender, receiver = _correspondents(network)
    source, letter = file or _generated_file(folder / "sent"), _letter(folder / "sent", sender, receiver)
    proof = KeyProof(SystemEntropy())
    with EventLog(keep=True) as log:
        log.listen(view.on_event)
        service = Service(
            network,
            folder / "network",
            log=log,
            num_workers=_num_workers(),
            wrap_module=proof.watch_module,
            entropy_source=entropy_source,
            light_share=light_share,
        )
        began_s, began_utc_s = service.clock.monotonic_s(), service.clock.utc_s()
        async with AsyncExitStack() as stack:
            await _start_entropy(service, stack, view)
            probe = await stack.enter_async_context(DoorProbe())
            await service.warm_up()  # before the network is up: its idle time begins when it is
            await stack.enter_async_context(service)
            probe.begin(_status_question(service, sender, receiver))
            view.say(f"{network.title or network.name}: {len(service.managers)} key managers answer, pools are empty")
            courier = Courier(service, sender, receiver, watch_supply=proof.watch_supply)
            deliver = partial(_deliver, courier, view, folder / "received")
            async with PoolSampler(service) as sampler:
                passes = await _first_passes(courier, view, stack, source)
                deliveries = [await deliver(source)]
                await probe.end()
                passes = passes or await stack.enter_async_context(_passes_meanwhile(courier, view, source))
                await _await_idle_time(service, view)
                deliveries.append(await deliver(letter))
                by_satellite = await _send_by_satellite(courier, passes, source, view, folder / "received")
            entropy = await _entropy_account(service)
        duration_s = service.clock.monotonic_s() - began_s
    links = findings.link_results(network, log.events, proof)
    transfers = [findings.transfer(delivery, log.events) for delivery in deliveries]
    relays, site = findings.relay_accounts(log.events), network.site_of(network.sae(sender.name)).name
    space = None if by_satellite is None else found_in_space(network, *by_satellite, log.events, proof)
    return DemoResult(
        network=network,
        events=log.events,
        links=links,
        transfers=[*transfers, *([space.transfer] if space is not None else [])],
        checks=findings.checks(network, links, deliveries, relays, log.events, proof)
        + (space_checks(network, space, log.events) if space is not None else [])
        + _entropy_checks(entropy),
        space=space,
        entropy=entropy,
        started_utc_s=began_utc_s,
        duration_s=duration_s,
        pool_samples=sampler.samples,
        relays=relays,
        door_latency=door_latency(probe, log.events, site),
        software=machine.versions(),
        machine={"machine": machine.machine()},
    )


def _letter(folder: Path, sender: Application, receiver: Application) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    letter = folder / "letter.txt"
    letter.write_text(LETTER.format(sender=sender.name, receiver=receiver.name), encoding="utf-8")
    return letter


async def _deliver(courier: Courier, view: View, into: Path, path: Path, *, way: str = "") -> Delivery:
    """Send a file and say so; ``way``: what is said of how it goes."""
    size = format_size(path.stat().st_size)
    view.say(f"{courier.sender.name} sends {_shown(path)} ({size}){way} to {courier.receiver.name}")
    return await courier.deliver(path, into, on_progress=_file_progress(view, path))


Passes: TypeAlias = tuple[Application, asyncio.Task[list[MadePass]]] | None
"""Who sends by satellite, and the passes that are being made for it."""


@asynccontextmanager
async def _passes_meanwhile(courier: Courier, view: View, source: Path) -> AsyncIterator[Passes]:
    """Make passes in the worker's idle time, where somebody is joined to the receiver by satellite alone."""
    sender = sender_beyond(courier.service.network, courier.receiver)
    if sender is None:
        yield None
        return
    making = asyncio.create_task(
        make_passes(courier.service, view.say, num_bytes=2 * source.stat().st_size), name="passes"
    )
    try:
        yield sender, making
    finally:
        making.cancel()
        await asyncio.gather(making, return_exceptions=True)


async def _first_passes(courier: Courier, view: View, stack: AsyncExitStack, source: Path) -> Passes:
    """Make passes before anything is sent, where a satellite alone joins sender and receiver; else nothing."""
    if not go_by_satellite(courier.service.network, courier.sender, courier.receiver):
        return None
    passes = await stack.enter_async_context(_passes_meanwhile(courier, view, source))
    if passes is not None:
        await passes[1]
    return passes


async def _send_by_satellite(
    courier: Courier, passes: Passes, source: Path, view: View, received: Path
) -> tuple[list[MadePass], Delivery] | None:
    """Await the passes, then send a file by them; nothing where nobody is joined to the receiver by satellite alone."""
    if passes is None:
        return None
    sender, making = passes
    made = await making
    into = received / "by-satellite"
    return made, await _deliver(replace(courier, sender=sender), view, into, source, way=" by satellite")


async def _start_entropy(service: Service, stack: AsyncExitStack, view: View) -> None:
    """Let the devices' generator pass its start-up tests, and say what comes next; raises when it does not."""
    if service.entropy_server is not None:
        stack.push_async_callback(service.entropy_server.close)
        view.say(f"start-up tests of the entropy source {escape(str(service.entropy_server.source.path))}")
        await service.entropy_server.start()
    view.say("preparing (once): compiling and loading the kernels")


async def _entropy_account(service: Service) -> dict[str, Json]:
    server = service.entropy_server
    return entropy_record(server, await server.inquire() if server is not None else None)


def _entropy_checks(entropy: Mapping[str, Json]) -> list[Check]:
    """The devices' generator passed all its tests; nothing to check where they drew from the operating system."""
    if "samples_read" not in entropy:
        return []
    fault = entropy["fault"]
    text = f"the devices' entropy source {entropy['source']} passed every health test"
    return [Check(text if fault is None else f"{text}: {fault}", fault is None)]


def _num_workers() -> int:
    return max(1, machine.num_cores() - 1)


def _correspondents(network: Network) -> tuple[Application, Application]:
    """Return the first two applications that no satellite stands between; where one does between all, the first two."""
    apart = [pair for pair in permutations(network.applications, 2) if pair[0].site != pair[1].site]
    for pair in apart:
        if not network.satellites or not go_by_satellite(network, *pair):
            return pair
    if apart:
        return apart[0]
    raise ConfigurationError(
        f"network {network.name!r} has no two applications at different sites",
        remedy="the demonstration sends from one site to another: put an application at each of two",
    )


def _generated_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "file-10MB.bin"
    path.write_bytes(SystemEntropy().public_bytes(GENERATED_FILE_BYTES))
    return path


def _shown(path: Path) -> str:
    """Return a file's name as it may stand in a line for people: on one line, with no markup in it."""
    return escape(file_name_for_all(path.name))


def _file_progress(view: View, path: Path) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        total = progress.total_bytes or progress.done_bytes or 1
        view.show_progress(file_name_for_all(path.name), progress.done_bytes / total, format_size(progress.done_bytes))

    return show


def _status_question(service: Service, asker: Application, peer: Application) -> Question:
    network, files = service.network, service.place.sae_files(asker.name)
    site = network.site_of(network.sae(asker.name))
    return Question(
        url=service.door_url(site.node),
        kme=network.kme(site.node),
        sae=network.sae(asker.name),
        peer=network.sae(peer.name),
        certificate=str(files.certificate),
        key=str(files.key),
        ca=str(files.ca),
    )


async def _await_idle_time(service: Service, view: View) -> None:
    """Let nobody ask until the pools end to end are full, or for as long as that takes at most."""
    deadline_s = service.clock.monotonic_s() + IDLE_PATIENCE_S
    for keys in service.network.prepared_keys:
        name = pool_name(keys)
        view.say(f"idle time: {keys.count} keys are prepared end to end, {name}")
        ready = await count_prepared(service, keys)
        while ready < keys.count and service.clock.monotonic_s() < deadline_s:
            view.show_progress(name, ready / keys.count, f"{ready} keys lie ready")
            await asyncio.sleep(SAMPLE_PERIOD_S)
            ready = await count_prepared(service, keys)
        view.show_progress(name, 1.0, f"{ready} keys lie ready")
