"""What ``qanat acceptance`` does: bring a network up, run service tests over it, break what is to be broken, tell."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape

from qanat.adapters.user_files import read_service_record
from qanat.apps import machine
from qanat.apps.acceptance.figures import Figures, figures_of, rows_of
from qanat.apps.acceptance.plan import Broken, Plan, choose_broken, draw_plan
from qanat.apps.acceptance.run import Result, Runner
from qanat.apps.cli.acceptance_table import show_figures
from qanat.apps.cli.presentation import people_console
from qanat.apps.cli.service_place import stopped_by_signals
from qanat.apps.cli.simulate_tables import write_tables
from qanat.apps.networks import load_network
from qanat.benchmarks.up_process import site_apart, up
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network, network_yaml
from qanat.services.conversation import printable

TOLD_EVERY = 50
FILES_OF_A_USER = 16
DISTURBANCE = 0.25
"""Odds that whoever listens flips a photon: far above any threshold."""
UP_AGAIN_S = 60.0
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class AcceptanceOptions:
    """What is tested; ``least_success``: a share. See the command."""

    network: str
    num_tests: int
    num_users: int | None
    seed: int
    with_faults: bool
    data: Path | None
    at_once: int
    least_success: float
    sleep_after_s: float | None
    out: Path | None


def run_acceptance(options: AcceptanceOptions, *, as_json: bool) -> int:
    """Return 0 when enough tests succeeded and every planted fault was found and named, 1 otherwise."""
    network = load_network(options.network)
    is_up = options.data is not None and bool(read_service_record(options.data))
    broken = None
    if options.with_faults:  # of a network that others use nothing is broken
        broken = Broken() if is_up else choose_broken(network)
    plan = draw_plan(
        network,
        num_tests=options.num_tests,
        seed=options.seed,
        broken=broken,
        num_users=options.num_users,
        has_passes=is_up,
    )
    machine.allow_open_files(FILES_OF_A_USER * len(network.applications))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qanat-acceptance-")))
        data = options.data or folder / "data"
        name = options.network
        if is_up:
            _check_network(data, network)
        else:
            name = _rehearsed(network, options.network, plan.broken, folder)
            stack.enter_context(_brought_up(name, data, plan.broken, options.sleep_after_s))
        begun_s = time.monotonic()
        results = asyncio.run(_results(plan, name, data, folder / "run", options))
        duration_s = time.monotonic() - begun_s
    found = {
        "network": network.name,
        "seed": options.seed,
        "at_once": options.at_once,
        "users": len({name for result in results for name in result.test.names}),
        "cores": machine.num_cores(),
        "least_success": options.least_success,
        "is_whole": len(results) == plan.num_tests,
        "broken": dataclasses.asdict(plan.broken),
        **figures_of(results, duration_s=duration_s),
    }
    if options.out is not None:
        write_tables(options.out, result=found, tests=rows_of(results))
    if as_json:
        print(json.dumps(found), flush=True)
    show_figures(found, is_answer=not as_json)
    return 0 if is_accepted(found) else 1


def is_accepted(found: Figures) -> bool:
    """Return whether the run is whole, enough tests succeeded, and every planted fault was named as what it is."""
    return bool(
        found["is_whole"]
        and (found["all"]["success_rate"] or 0.0) >= found["least_success"]
        and found["planted_as_expected"] == found["num_planted"]
    )


def _check_network(data: Path, network: Network) -> None:
    if (name := read_service_record(data).get("network")) != network.name:
        raise ConfigurationError(
            f"network {name!r} is up on {data}, not {network.name!r}", remedy="name that network, or another --data"
        )


def _rehearsed(network: Network, name: str, broken: Broken, folder: Path) -> str:
    """Return the name of the network to be brought up: as it is, or a file with somebody on the link to be broken."""
    if broken.link is None:
        return name
    links = tuple(
        link.model_copy(update={"disturbance": DISTURBANCE}) if link.link_id == broken.link else link
        for link in network.described_links
    )
    path = folder / "rehearsed.yaml"
    path.write_text(network_yaml(network.model_copy(update={"links": links})), encoding="utf-8")
    return str(path)


@contextmanager
def _brought_up(name: str, data: Path, broken: Broken, sleep_after_s: float | None) -> Iterator[None]:
    """Have the network up meanwhile, but for the relay that runs apart."""
    people_console().print(f"bringing {name} up", soft_wrap=True)
    sleep = ("--sleep-after", f"{(sleep_after_s or 0.0) / 60:g}")
    apart = () if broken.relay is None else ("--apart", broken.relay)
    try:
        with up(name, data, options=(*sleep, *apart)):
            yield
    except ValueError as fault:
        raise ConfigurationError(str(fault), remedy="bring it up by `qanat up`, and name its folder") from None


async def _results(plan: Plan, name: str, data: Path, folder: Path, options: AcceptanceOptions) -> list[Result]:
    """Run all tests; the relay to be killed runs meanwhile, and again after the tests without it. Who stops it gets
    what is done."""
    told = _Told(plan.num_tests)
    runner = Runner(data, folder, seed=options.seed, at_once=options.at_once, on_result=told.result)
    relay = plan.broken.relay
    async with runner, _stoppable(runner, told):
        if relay is None:
            return await runner.run(plan.tests)
        async with _apart(name, relay, data) as kill:
            results = await runner.run(plan.tests)
            if runner.is_stopped:
                return results
            kill()
            told.console.print(f"relay {relay} is killed")
            results += await runner.run(plan.without_relay)
        async with _apart(name, relay, data):
            told.console.print(f"relay {relay} is up again")
            return results + await runner.run(plan.repaired)


@contextlib.asynccontextmanager
async def _stoppable(runner: Runner, told: _Told) -> AsyncIterator[None]:
    """Let a signal end the run after the tests that are under way."""
    stop = stopped_by_signals()

    async def heed() -> None:
        await stop.wait()
        told.console.print("stopped by you: the tests under way are ended, and the table is of what is done")
        runner.is_stopped = True

    heeding = asyncio.create_task(heed())
    try:
        yield
    finally:
        heeding.cancel()


@contextlib.asynccontextmanager
async def _apart(name: str, relay: str, data: Path) -> AsyncIterator[Callable[[], None]]:
    """Have a relay up in a process of its own; gives what kills it."""
    with ExitStack() as stack:
        process = await asyncio.to_thread(stack.enter_context, site_apart(name, relay, data))
        async with asyncio.timeout(UP_AGAIN_S):
            while not read_service_record(data).get("apart", {}).get(relay, {}).get("answers"):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        yield process.kill


class _Told:
    """Tells people how far a run is."""

    def __init__(self, num_tests: int) -> None:
        self.console = people_console()
        self._num_tests = num_tests
        self._done = self._odd = 0
        self._begun_s = time.monotonic()

    def result(self, result: Result) -> None:
        """A test is over: every so many a line, and one for each that did not end as it should."""
        self._done += 1
        if not result.is_as_expected:
            self._odd += 1
            test = result.test
            said = f"{result.cause.value}: {result.message or 'it succeeded'}"
            planted = "" if test.fault is None else f" ({test.fault.name})"
            told = f"test {test.number}, {test.kind} from {test.sender} to {test.recipient}{planted}: {said}"
            self.console.print(escape(printable(told)), soft_wrap=True)
        if self._done % TOLD_EVERY == 0 or self._done == self._num_tests:
            took_s = time.monotonic() - self._begun_s
            self.console.print(
                f"{self._done:,} of {self._num_tests:,} after {took_s:.0f} s, {self._odd} not as expected"
            )
