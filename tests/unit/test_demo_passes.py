"""How many passes a demonstration makes before it sends a file over a satellite."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from qanat.apps.demo.space import ENOUGH_BITS, MORE_BITS_PER_MIB, make_passes
from qanat.ground.errors import QuantumLayerError
from qanat.ground.identifiers import LinkId

PLAN: dict[str, Any] = {
    "satellite": "bird",
    "rise_utc_s": 0.0,
    "p_clear": 1.0,
    "light_share": 1.0,
    "max_elevation_deg": 50.0,
    "min_range_km": 700.0,
    "total_loss_db": (25.0, 35.0),
    "sifted_bits": 1e6,
}


class Sky:
    """Passes in turn over two stations, each with what it brings."""

    def __init__(self, bits: Sequence[tuple[str, int]], clear: Sequence[bool] = ()) -> None:
        self.left = list(zip(bits, [*clear, *[True] * len(bits)][: len(bits)], strict=True))

    async def next_pass(self) -> Any:
        if not self.left:
            return None
        (station, num_bits), is_clear = self.left.pop(0)
        plan = SimpleNamespace(link_id=LinkId(f"bird-{station}"), station=station, expected_bits=num_bits, **PLAN)
        return SimpleNamespace(plan=plan, is_clear=is_clear, gave_key=is_clear, waited_s=0.0, took_s=1.0)


def made(sky: Sky, *, num_bytes: int = 0) -> list[str]:
    downlinks = [SimpleNamespace(link_id=LinkId(f"bird-{station}")) for station in ("west", "east")]
    service: Any = SimpleNamespace(network=SimpleNamespace(downlinks=downlinks), sky=sky)
    found = asyncio.run(make_passes(service, lambda _: None, num_bytes=num_bytes))
    return [str(one.plan.station) for one in found]


PLENTY = 10 * ENOUGH_BITS


def test_two_good_passes_are_enough() -> None:
    assert made(Sky([("west", PLENTY), ("east", PLENTY), ("west", PLENTY)])) == ["west", "east"]


def test_a_pass_that_brings_next_to_nothing_is_followed_by_another_one() -> None:
    sky = Sky([("west", PLENTY), ("east", 3_000), ("west", PLENTY), ("east", ENOUGH_BITS), ("west", PLENTY)])
    assert made(sky) == ["west", "east", "west", "east"]


def test_a_large_file_needs_more() -> None:
    sky = Sky([("west", ENOUGH_BITS), ("east", ENOUGH_BITS), ("west", 10**9), ("east", 10**9)])
    assert len(made(sky, num_bytes=1 << 30)) == 4
    assert MORE_BITS_PER_MIB * 1024 > 2 * 1024 * (128 + 512), "a key a MiB, each with its tags"


def test_clouds_bring_nothing() -> None:
    sky = Sky([("west", PLENTY), ("east", PLENTY), ("east", PLENTY)], clear=[True, False, True])
    assert made(sky) == ["west", "east"]


def test_what_there_is_must_do_and_a_station_without_a_pass_is_told() -> None:
    assert made(Sky([("west", 10), ("east", 10)])) == ["west", "east"]
    with pytest.raises(QuantumLayerError, match="no pass of bird-east gives key"):
        made(Sky([("west", PLENTY)]))
