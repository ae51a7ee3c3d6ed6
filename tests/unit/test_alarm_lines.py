"""What a person at a terminal sees of an alarm: why and what to do; of its end, that it is over."""

from __future__ import annotations

import pytest

from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.cli.presentation import RunView
from qanat.ground.events import EventKind, Json
from qanat.ground.identifiers import NodeId
from qanat.ground.tracing import EventRecorder


def shown(capsys: pytest.CaptureFixture[str], kind: EventKind, **data: Json) -> str:
    recorder = EventRecorder(
        node=NodeId("suzhou"), clock=SystemClock(), entropy=SystemEntropy(), sink=RunView().on_event
    )
    recorder.record(kind, **data)
    return capsys.readouterr().err.strip()


def test_an_alarm_is_told_with_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    line = shown(capsys, EventKind.ALARM, text="the device [7] does not answer", remedy="look at its power")
    assert line == "alarm at suzhou: the device [7] does not answer (look at its power)"


def test_the_end_of_an_alarm_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    line = shown(capsys, EventKind.ALARM, text="over: the device is dark", remedy="nothing", cleared=True)
    assert line == "alarm over at suzhou: the device is dark"


def test_a_refusal_is_told_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, EventKind.KEYS_REFUSED, why="no such SAE") == "keys were refused at suzhou: no such SAE"
