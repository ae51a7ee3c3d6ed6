"""The status of ``qanat receive --once``: that of ``qanat call`` where what came was a call."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import pytest

from qanat.apps.cli import services
from qanat.apps.cli.calls import NOT_DONE
from qanat.apps.cli.service_options import Who
from qanat.services.call import CallReport
from qanat.users.reception import Listeners
from service_support import House
from unit.test_call_command import report_of


def status_after(report: CallReport, folder: Path, monkeypatch: pytest.MonkeyPatch, *, once: bool) -> int:
    """Receive one call as bob, which ended so; returns the command's status."""
    house, stops = House(folder / "data"), list[asyncio.Event]()

    def stopped() -> asyncio.Event:
        stops.append(asyncio.Event())
        return stops[-1]

    class OneCall:
        port = 4711

        def __init__(self, *_: Any, listeners: Listeners, **__: Any) -> None:
            self._listeners = listeners

        async def __aenter__(self) -> Self:
            self._listeners.on_call(report)
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        def show_fresh(self) -> None:
            stops[0].set()

        async def end_deliveries(self) -> None:
            pass

    monkeypatch.setattr(services, "people_of", lambda _: house.user("bob").people)
    monkeypatch.setattr(services, "UserServices", lambda _, **__: house.user("bob"))
    monkeypatch.setattr(services, "Reception", OneCall)
    monkeypatch.setattr(services, "stopped_by_signals", stopped)
    return services.run_receive(Who("bob", None, None), out=folder, port=0, once=once, as_json=False)


@pytest.mark.parametrize(
    ("others", "once", "status"),
    [
        ({}, True, 0),
        ({"ended": "silent"}, True, NOT_DONE),
        ({"ended": "unheard"}, True, NOT_DONE),
        ({"ended": "unsaid"}, True, NOT_DONE),
        ({"ended": "silent"}, False, 0),
    ],
)
def test_one_dead_call_ends_it_with_the_status_of_the_other_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: dict[str, Any], once: bool, status: int
) -> None:
    """Who receives until stopped has other calls besides."""
    assert status_after(report_of("alice", **others), tmp_path, monkeypatch, once=once) == status
