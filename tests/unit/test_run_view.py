"""What a person sees of a run, when more happens than anybody reads."""

from __future__ import annotations

import pytest

from qanat.apps.cli.presentation import MOST_STEPS_PER_S, MOST_STEPS_REMEMBERED, RunView
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import EventId, NodeId, RequestId


def asked(request: int, at_s: float, kind: EventKind = EventKind.KEY_ASKED) -> Event:
    return Event(EventId("e"), None, RequestId(f"r{request}"), NodeId("a"), at_s, 0.0, kind, {})


def steps_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if "the application asks" in line]


def test_a_step_is_shown_once_of_each_request(capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView()
    for request in (1, 1, 2):
        view.on_event(asked(request, at_s=0.0))
    assert len(steps_of(capsys)) == 2


def test_a_busy_door_floods_no_terminal_and_what_was_left_out_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView()
    for request in range(1000):
        view.on_event(asked(request, at_s=request / 1000))
    view.on_event(asked(1000, at_s=1.0))
    shown = steps_of(capsys)
    assert len(shown) == MOST_STEPS_PER_S + 1
    assert f"and {1000 - MOST_STEPS_PER_S} more steps before it" in shown[-1]


def test_alarms_are_shown_however_busy_the_door_is(capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView()
    for request in range(1000):
        view.on_event(asked(request, at_s=0.0))
    view.on_event(asked(1, at_s=0.0, kind=EventKind.ALARM))
    assert "alarm" in capsys.readouterr().err


def test_requests_of_long_ago_are_forgotten() -> None:
    view = RunView()
    for request in range(2 * MOST_STEPS_REMEMBERED):
        view.on_event(asked(request, at_s=float(request)))
    assert len(view._steps_shown) == MOST_STEPS_REMEMBERED


def test_a_service_tells_what_needs_a_person_with_its_time_and_no_steps(capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView(of_service=True)
    view.on_event(asked(1, at_s=0.0))
    view.on_event(asked(1, at_s=0.0, kind=EventKind.POOL_FILLING))
    view.on_event(asked(1, at_s=0.0, kind=EventKind.ALARM))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.split()[0] == "1970-01-01T00:00:00.000Z"
    assert "alarm" in line


def test_each_pass_of_a_satellite_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    view = RunView()
    data = {"link_id": "bird-west", "rise_utc_s": 1482166123.0, "waiting_left_out_s": 5400.0}
    for kind, more in ((EventKind.SATELLITE_SET, {"took_s": 7.9}), (EventKind.SATELLITE_CLOUDED, {"lost_bits": 12345})):
        event = Event(EventId("e"), None, None, NodeId("controller"), 0.0, 0.0, kind, {**data, **more})
        view.on_event(event)
    first, second = capsys.readouterr().err.splitlines()
    assert first.strip().startswith("pass of bird-west, 2016-12-19T16:48 by its elements, 1.5 h of waiting left out:")
    assert first.endswith("took 8 s here")
    assert second.endswith("clouds took 12,345 bits")
