"""What is said of the devices' generator: when links wait for it, and once when it has failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

from qanat.adapters.entropy_server import EntropyServer, EntropyState
from qanat.adapters.physical_entropy import EntropySource
from qanat.adapters.system import SystemEntropy
from qanat.apps.demo.run import _entropy_checks
from qanat.apps.entropy_watch import LOOK_PERIOD_S, entropy_record, watch_entropy
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import CONTROLLER
from qanat.ground.tracing import EventRecorder

HEALTHY = EntropyState(is_ready=True, samples_read=2048)
FAILED = replace(HEALTHY, fault="the entropy source failed: it ended", remedy="have it checked")


class StagedServer:
    """A server whose state at every look is the next of a list; also the clock, so that a look is a second."""

    def __init__(self, states: list[EntropyState]) -> None:
        self.source = EntropySource(Path("/dev/zero"), 8.0)
        self.state = states[0]
        self._states: Iterator[EntropyState] = iter(states[1:])
        self._now_s = 0.0

    def utc_s(self) -> float:
        return self._now_s

    def monotonic_s(self) -> float:
        return self._now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        self._now_s = monotonic_s
        self.state = next(self._states)


def told(states: list[EntropyState]) -> list[Event]:
    server, events = StagedServer(states), list[Event]()
    recorder = EventRecorder(node=CONTROLLER, clock=server, entropy=SystemEntropy(), sink=events.append)
    asyncio.run(watch_entropy(cast(EntropyServer, server), clock=server, recorder=recorder))
    return events


def test_a_failure_is_one_alarm_with_its_remedy() -> None:
    (alarm,) = told([HEALTHY, HEALTHY, FAILED])
    assert alarm.kind is EventKind.ALARM
    assert alarm.data["code"] == "EntropyFailed"
    assert alarm.data["severity"] == "critical"
    assert "it ended; no link makes key, keys in stock are given" in str(alarm.data["text"])
    assert alarm.data["remedy"] == "have it checked"


def test_a_generator_that_holds_links_up_is_told_now_and_then_with_its_rate() -> None:
    """Somebody waits all of 15 seconds for 125,000 bytes a second: said at the first look and ten seconds later."""
    waiting = [replace(HEALTHY, asked_s=s * LOOK_PERIOD_S, bytes_given=s * 125_000) for s in range(15)]
    *waits, _ = told([*waiting, FAILED])
    assert [event.kind for event in waits] == [EventKind.ENTROPY_AWAITED] * 2
    assert waits[0].data["text"] == "/dev/zero gives 1.0 Mbit/s after conditioning"


def test_a_generator_that_is_fast_enough_is_no_news() -> None:
    busy = [replace(HEALTHY, asked_s=0.5 * s * LOOK_PERIOD_S, bytes_given=s) for s in range(15)]
    assert len(told([*busy, FAILED])) == 1


def test_a_demonstration_whose_generator_failed_behind_its_back_did_not_hold() -> None:
    server = cast(EntropyServer, StagedServer([FAILED]))
    (failed,) = _entropy_checks(entropy_record(server, FAILED))
    assert not failed.held
    assert "it ended" in failed.text
    (passed,) = _entropy_checks(entropy_record(cast(EntropyServer, StagedServer([HEALTHY])), HEALTHY))
    assert passed.held
    assert _entropy_checks(entropy_record(None)) == []
