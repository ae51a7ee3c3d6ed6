"""A twin or a site whose process stands still is told as one that has ended is, though nobody asks for key; and what is
over is over as soon as it goes on."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.test_killed_under_load import LINK, two_sites
from interop.test_shortage_at_a_door import Caller, a_caller, who_heeds_hints

pytestmark = pytest.mark.slow

PATIENCE_S = 120.0
MANY = 128
"""Keys in one call: what is left where so many are refused is too little for the next call as well."""


def until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.05)


def alarms(data: Path, code: str) -> dict[str, list[dict[str, Any]]]:
    """Return the alarms of this code that each process of the network has told, by the folder of its log."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in data.rglob("events.jsonl"):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        told = [event["data"] for event in events if event["kind"] == "alarm" and event["data"]["code"] == code]
        if told:
            found[path.parent.name] = told
    return found


def cleared(data: Path) -> dict[str, list[bool]]:
    return {name: [one.get("cleared", False) for one in told] for name, told in alarms(data, "module-away").items()}


def use_up(caller: Caller) -> str:
    """Take keys until so many are not left; return the body of the refusal that says so."""
    while (answer := caller.ask(MANY)).status_code == 200:
        pass
    assert answer.status_code == 503, answer.text
    return answer.text


def test_a_twin_that_stands_still_is_told_though_nobody_asks_and_is_there_again_when_it_goes_on(tmp_path: Path) -> None:
    everywhere = {"left", "right", "controller"}
    with two_sites(tmp_path) as fleet, a_caller(fleet) as caller:
        data = tmp_path / "data"
        first = caller.ask(1, patience_s=60.0)
        assert first.status_code == 200, first.text
        twin = fleet.processes["twin"]
        twin.send_signal(signal.SIGSTOP)
        try:
            until(lambda: cleared(data) == {one: [False] for one in everywhere})
            told = alarms(data, "module-away")
            for site in ("left", "right"):
                assert "asked whether it lives" in told[site][0]["text"]
                assert re.search(f"`qanat twin --config .* --link {LINK}`", told[site][0]["remedy"])
            refusal = use_up(caller)
            assert "the process with its QKD modules does not answer" in refusal
            assert "more is being made" not in refusal
        finally:
            twin.send_signal(signal.SIGCONT)
        until(lambda: cleared(data) == {one: [False, True] for one in everywhere})
        keys = who_heeds_hints(caller)
        assert caller.fetch(keys) == [key["key"] for key in keys]
        assert alarms(data, "link-failing") == {}


def test_a_site_that_stands_still_is_told_by_the_controller_and_is_there_again_when_it_goes_on(tmp_path: Path) -> None:
    """Its machine keeps its lines up, so nothing but its silence tells."""
    with two_sites(tmp_path) as fleet, a_caller(fleet) as caller:
        data = tmp_path / "data"
        assert caller.ask(1, patience_s=60.0).status_code == 200
        site = fleet.processes["right"]
        site.send_signal(signal.SIGSTOP)
        try:
            until(lambda: "controller" in alarms(data, "node-silent"))
            (told,) = alarms(data, "node-silent")["controller"]
            assert told["about"] == "right"
        finally:
            site.send_signal(signal.SIGCONT)
        until(lambda: alarms(data, "node-silent")["controller"][-1].get("cleared", False))
        keys = who_heeds_hints(caller)
        assert caller.fetch(keys) == [key["key"] for key in keys]
