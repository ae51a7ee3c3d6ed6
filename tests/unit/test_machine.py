"""What the programs know and settle of the machine that they run on."""

from __future__ import annotations

import gc
import weakref

import pytest

from qanat.apps.machine import settle_heap


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
