"""Two parties behind a long line: several blocks are sifted at once, and no event of a record is used twice."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qanat.apps.distil import bob_blocks
from qanat.apps.distil.bob_blocks import MOST_SIFTING, BobBlocks, enough_events
from qanat.apps.distil.example import make_sifted
from qanat.apps.distil.party import PartyOptions, _distil
from qanat.apps.distil.record_files import Role
from qanat.apps.distil.setup import Made
from qanat.benchmarks.long_line import DelayingProxy
from qanat.postprocessing.records import Detections
from qanat.quantum_layer.recorded import RecordedDetections

BLOCK_BITS, NUM_BLOCKS = 2**16, 12


@dataclass
class Seen:
    """What Bob did with his record: per source of light the slots of its chunks, and blocks being sifted at each
    begin."""

    chunks: list[tuple[RecordedDetections, int, int]] = field(default_factory=list)
    sifting: list[int] = field(default_factory=list)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    notes = Seen()
    next_chunk, begin = RecordedDetections.next_chunk, BobBlocks._begin

    def noted_chunk(self: RecordedDetections) -> Detections:
        chunk = next_chunk(self)
        notes.chunks.append((self, chunk.first_slot, chunk.first_slot + chunk.num_slots))
        return chunk

    def noted_begin(self: BobBlocks, *args: object) -> object:
        notes.sifting.append(sum(one.begun is not None and not one.is_sifted for one in self._sifting))
        return begin(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(RecordedDetections, "next_chunk", noted_chunk)
    monkeypatch.setattr(BobBlocks, "_begin", noted_begin)
    return notes


def options(folder: Path, role: Role, *, port: int, in_flight: int | None) -> PartyOptions:
    return PartyOptions(
        role=role,
        host="127.0.0.1",
        port=port,
        raw=None,
        sifted=folder / role / "sifted.npz",
        key=folder / role / "link.auth",
        out=folder / role / "keys",
        block_bits=BLOCK_BITS,
        system=None,
        disclosed=0.1,
        min_entropy=0.6,
        qber_abort=0.11,
        eps_sec=1e-10,
        replenish=False,
        wait_s=20,
        in_flight=in_flight,
    )


def distil_far(folder: Path, *, round_trip_s: float = 0.02, in_flight: int | None = None) -> dict[Role, Made]:
    """Distil a record on one loop, both parties through a proxy that delays them."""
    make_sifted(folder, num_bits=round(NUM_BLOCKS * BLOCK_BITS / 0.9 * 1.02), qber=0.01, seed=1)

    async def both() -> dict[Role, Made]:
        ports: asyncio.Queue[int] = asyncio.Queue()
        alice = asyncio.create_task(
            _distil(options(folder, "alice", port=0, in_flight=in_flight), lambda _: None, ports.put_nowait)
        )
        async with DelayingProxy(await ports.get(), delay_s=round_trip_s / 2) as proxy:
            bob = await _distil(options(folder, "bob", port=proxy.port, in_flight=in_flight), lambda _: None, _ignore)
            return {"alice": await alice, "bob": bob}

    return asyncio.run(both())


def _ignore(_port: int) -> None: ...


@pytest.mark.slow
def test_blocks_are_sifted_side_by_side_and_lie_one_behind_the_other(tmp_path: Path, seen: Seen) -> None:
    made = distil_far(tmp_path / "run")
    assert len(made["alice"].blocks) == len(made["bob"].blocks) == NUM_BLOCKS
    assert 1 < max(seen.sifting) <= MOST_SIFTING
    assert seen.sifting[:2] == [0, 0], "the first block goes alone"
    spans = [(first, stop) for _, first, stop in seen.chunks]
    assert len(spans) == NUM_BLOCKS, "one chunk fills a block"
    assert all(before[1] == after[0] for before, after in pairwise(spans))


@pytest.mark.slow
def test_a_block_that_fell_short_takes_events_that_no_other_was_given(
    tmp_path: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bob_blocks, "SURE", -5.0)  # each chunk is too short for its block, and taken for enough
    made = distil_far(tmp_path / "run")
    names = [[one["block_id"] for one in made[role].blocks] for role in ("alice", "bob")]
    assert sorted(names[0]) == sorted(names[1])
    assert len(names[0]) >= NUM_BLOCKS - 1, "the last may find the record over"
    sources = [source for source, _, _ in seen.chunks]
    assert any(
        source in sources[: number - 1] and source is not sources[number - 1]
        for number, source in enumerate(sources)
        if number
    )
    spans = sorted((first, stop) for _, first, stop in seen.chunks)
    assert all(before[1] <= after[0] for before, after in pairwise(spans)), "used twice"


@pytest.mark.slow
def test_over_a_short_line_little_light_is_left_unused(tmp_path: Path, seen: Seen) -> None:
    distil_far(tmp_path / "run", round_trip_s=0.0)
    assert len(seen.chunks) >= 2 * NUM_BLOCKS, "a second chunk, after the first is sifted, spares what the first spared"


@pytest.mark.parametrize("share", [0.3, 0.9, 1.0])
def test_enough_events_are_enough(share: float) -> None:
    """The law of large numbers, by draws: 10,000 blocks, of which none falls short."""
    events = int(np.ceil(enough_events(50_000, share=share)))
    drawn = np.random.default_rng(5).binomial(events, share, size=10_000)
    assert drawn.min() >= 50_000
    assert events * share < 50_000 + 8 * np.sqrt(50_000)
