"""Who sends keys over sites that sleep waits as long as any site is opened: they have their turn one by one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId
from qanat.key_management.pools import opened

FAR = NodeId("far")
PATIENCE_S = 10.0


class Opening:
    """A process on a clock of its own that opens a site every so many seconds, ``FAR`` as the ``turn``-th, until it
    stops after so many."""

    def __init__(self, *, every_s: float, turn: int, stops_after: int) -> None:
        self.now_s, self._every_s, self._turn, self._stops_after = 0.0, every_s, turn, stops_after
        self.called: list[NodeId] = []
        self.context = SimpleNamespace(courier=self, clock=self, settings=SimpleNamespace(wait_s=2.0))

    def num_opened(self) -> int:
        return min(int(self.now_s / self._every_s), self._stops_after)

    def is_opening(self, _: NodeId) -> bool:
        return self.num_opened() < self._turn

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float) -> None:
        self.now_s = monotonic_s

    async def wake(self, nodes: list[NodeId]) -> None:
        self.called += nodes


@pytest.mark.parametrize(
    ("every_s", "turn", "stops_after", "silent", "took_s"),
    [
        (0.4, 40, 99, None, 16.0),  # behind the relays of another way: longer than the patience
        (9.0, 5, 99, None, 45.0),
        (11.0, 1, 99, FAR, 10.0),  # nobody is opened
        (1.0, 9, 5, FAR, 15.0),  # the process stands still after the fifth
    ],
)
def test_patience_is_from_when_a_site_was_opened_last_whosoever(
    every_s: float, turn: int, stops_after: int, silent: NodeId | None, took_s: float
) -> None:
    process = Opening(every_s=every_s, turn=turn, stops_after=stops_after)
    found = asyncio.run(opened(process.context, process, [FAR], patience_s=PATIENCE_S))  # type: ignore[arg-type]
    assert (found, process.called) == (silent, [FAR])
    assert process.now_s == pytest.approx(took_s, abs=0.5)


@pytest.mark.parametrize("stops_after", [0, 99])
def test_who_waits_no_longer_is_told_that_sites_are_being_opened(stops_after: int) -> None:
    process = Opening(every_s=0.4, turn=40, stops_after=stops_after)
    last = Deadline.after(process, 2.0)  # type: ignore[arg-type]
    with pytest.raises(
        KeyShortage, match=r"1 of the 1 sites on the way, far among them, are still being opened"
    ) as told:
        asyncio.run(opened(process.context, process, [FAR], patience_s=PATIENCE_S, last=last))  # type: ignore[arg-type]
    assert (process.now_s, process.called) == (pytest.approx(2.0, abs=0.5), [FAR])
    assert told.value.retry_after_s == 2.0


def test_who_waits_longer_than_the_opening_takes_is_told_nothing() -> None:
    process = Opening(every_s=0.4, turn=4, stops_after=99)
    last = Deadline.after(process, 2.0)  # type: ignore[arg-type]
    assert asyncio.run(opened(process.context, process, [FAR], patience_s=PATIENCE_S, last=last)) is None  # type: ignore[arg-type]
