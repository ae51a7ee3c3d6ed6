"""What the programs know and settle of the machine that they run on."""

from __future__ import annotations

import gc
import weakref

import pytest

from qanat.apps import machine
from qanat.apps.machine import SETTLING_SHARE, HeapKeeper, settle_heap


class Ring:
    """An object that holds itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def thawed() -> None:
    gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_a_settled_heap_is_passed_over_and_later_cycles_are_still_found() -> None:
    kept, garbage = Ring(), weakref.ref(Ring())
    settle_heap()
    try:
        assert garbage() is None, "what was garbage by then went first"
        assert not any(one is kept for one in gc.get_objects()), "what there was is not looked at again"
        later = weakref.ref(Ring())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()


@pytest.mark.usefixtures("thawed")
def test_what_sites_that_opened_brought_is_passed_over_and_what_young_is_garbage_goes() -> None:
    gc.collect(1)
    kept, garbage = Ring(), weakref.ref(Ring())
    machine.set_young_aside()
    try:
        assert garbage() is None
        assert not any(one is kept for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_the_heap_of_a_service_is_settled_in_a_small_share_of_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, takes_s, settled = [0.0], 0.4, list[tuple[float, str]]()

    def settle(what: str) -> None:
        settled.append((now_s[0], what))
        now_s[0] += takes_s

    monkeypatch.setattr(machine, "settle_heap", lambda *, with_kept: settle("all" if with_kept else "what is new"))
    monkeypatch.setattr(machine, "set_young_aside", lambda: settle("young"))
    keeper = HeapKeeper(now_s=lambda: now_s[0])
    assert not keeper.settle_if_due(), "no site has come or gone"
    keeper.note(has_closed=False)
    assert keeper.settle_if_due()
    keeper.note(has_closed=True)  # at once after it, and others follow
    keeper.note(has_closed=False)
    assert not keeper.settle_if_due()
    now_s[0] = takes_s + takes_s / SETTLING_SHARE
    assert keeper.settle_if_due()
    assert settled == [(0.0, "young"), (takes_s + takes_s / SETTLING_SHARE, "all")], (
        "what was kept is looked through late"
    )
    now_s[0] *= 10
    assert not keeper.settle_if_due(), "nothing has changed since"


def test_the_collector_looks_through_all_more_seldom_and_through_what_is_new_as_often_as_ever() -> None:
    young, middle, old = gc.get_threshold()
    try:
        machine.collect_seldom()
        assert gc.get_threshold() == (young, middle, machine.FULL_COLLECTIONS_SPARED * old)
    finally:
        gc.set_threshold(young, middle, old)
