"""A controller that is killed while keys are exchanged: what is lost? And a standby that takes its place.

Three `qanat node --config`, two `qanat twin`, and one or two `qanat controller`. The figures are counted from outside,
as in ``test_processes_killed``; who ruled when stands in the controllers' own logs.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.fleet import Fleet, free_port, run_qanat
from interop.load import reused_bits
from interop.test_processes_killed import LINKS, SITES, Exchange

pytestmark = pytest.mark.slow

WAIT_S = 90.0
MOST_KEYS = 10**9
DEPLOYMENT = "format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\n"


class Stand:
    """The processes, and a thread that takes keys at both ends."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.data = folder / "data"
        self.fleet = fleet
        self.exchange = Exchange(fleet, MOST_KEYS)

    @property
    def exchanged(self) -> int:
        return self.exchange.figures.exchanged

    def events(self, controller: str) -> list[dict[str, Any]]:
        """Return what a controller has recorded, whole lines only."""
        path = self.data / controller / "events.jsonl"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]

    def of_kind(self, controller: str, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events(controller) if event["kind"] == kind]

    def is_told(self, *, cleared: bool) -> bool:
        """Return whether the last that every site has said of a silent controller is its beginning, or its end."""
        told = [
            [bool(event["data"].get("cleared")) for event in self.of_kind(site, "alarm") if _is_of_controller(event)]
            for site in SITES
        ]
        return all(of_site and of_site[-1] is cleared for of_site in told)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline_s, f"{what} did not come: {self.exchange.figures}"
            time.sleep(0.05)

    def until_ordered(self, controller: str, count: int) -> None:
        """Wait until a controller has ordered key so often, and keys have come of that."""
        self.until(lambda: len(self.of_kind(controller, "generation-ordered")) >= count, f"order {count}")
        before = self.exchanged
        self.until(lambda: self.exchanged > before, "keys")


def _is_of_controller(event: dict[str, Any]) -> bool:
    return bool(event["data"]["code"] == "controller-silent")


@contextmanager
def stand(folder: Path, *, more: str = "", controllers: tuple[str, ...] = ("controller",)) -> Iterator[Stand]:
    """Start all, and take keys until the end; then nothing may be lost, given twice, or used twice."""
    data, config = folder / "data", folder / "deployment.yaml"
    config.write_text(DEPLOYMENT + more, encoding="utf-8")
    assert run_qanat("pki", "three-nodes", "--out", str(data / "pki")).returncode == 0
    with Fleet(folder) as fleet:
        for name in controllers:
            option = ["--standby"] if name == "standby" else []
            fleet.add(name, "controller", "--config", str(config), *option, "--json")
        for link in LINKS:
            fleet.add(link, "twin", "--config", str(config), "--link", link, "--json")
        fleet.wait()
        for site in SITES:
            port = str(free_port())
            fleet.add(site, "node", "--config", str(config), "--site", site, "--port", port, "--json")
        fleet.wait(*SITES)
        at_work = Stand(folder, fleet)
        thread = threading.Thread(target=at_work.exchange.run)
        thread.start()
        try:
            yield at_work
        finally:
            at_work.exchange.wanted = 0
            thread.join()
    figures = at_work.exchange.figures
    figures.reused_pad_bits = reused_bits(data, sites=SITES)
    assert figures.exchanged > 0
    assert (figures.double_deliveries, figures.mismatches) == (0, 0), figures
    assert (figures.lost_acknowledged_keys, figures.reused_pad_bits) == (0, 0), figures


def test_a_controller_that_is_killed_loses_nothing_and_goes_on_with_what_it_finds(tmp_path: Path) -> None:
    with stand(tmp_path) as at_work:
        at_work.until_ordered("controller", 1)
        for is_long in (True, False):
            at_work.fleet.kill("controller")
            ordered = len(at_work.of_kind("controller", "generation-ordered"))
            if is_long:
                at_work.until(lambda: at_work.is_told(cleared=False), "the alarm at every site")
            at_work.fleet.restart("controller")
            at_work.until_ordered("controller", ordered + 1)
            if is_long:
                at_work.until(lambda: at_work.is_told(cleared=True), "its end")
        epochs = [event["data"]["epoch"] for event in at_work.of_kind("controller", "controller-rules")]
    assert len(epochs) == 3
    assert epochs == sorted(set(epochs))


def test_a_standby_takes_over_within_seconds_and_the_first_stands_by_when_it_is_back(tmp_path: Path) -> None:
    places = f"controller: {{port: {free_port()}}}\nstandby: {{port: {free_port()}}}\n"
    with stand(tmp_path, more=places, controllers=("controller", "standby")) as at_work:
        at_work.until_ordered("controller", 1)
        assert at_work.of_kind("standby", "controller-rules") == []
        killed_s = time.monotonic()
        at_work.fleet.kill("controller")
        at_work.until_ordered("standby", 1)
        (took_over,) = at_work.of_kind("standby", "controller-rules")
        (first,) = at_work.of_kind("controller", "controller-rules")
        assert took_over["data"]["epoch"] > first["data"]["epoch"]
        print(f"the standby rules {took_over['monotonic_s'] - killed_s:.1f} s after the kill")
        assert took_over["monotonic_s"] > killed_s
        at_work.fleet.restart("controller")
        ordered = len(at_work.of_kind("standby", "generation-ordered"))
        at_work.until_ordered("standby", ordered + 1)
        assert at_work.of_kind("controller", "controller-rules") == [first]
        at_work.fleet.kill("standby")
        ordered = len(at_work.of_kind("controller", "generation-ordered"))
        at_work.until_ordered("controller", ordered + 1)
        assert len(at_work.of_kind("controller", "controller-rules")) == 2


def test_a_standby_that_the_deployment_does_not_have_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "deployment.yaml"
    config.write_text(DEPLOYMENT, encoding="utf-8")
    done = run_qanat("controller", "--config", str(config), "--standby")
    assert done.returncode != 0
    assert "the deployment has no standby" in done.stderr
