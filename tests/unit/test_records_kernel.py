"""Nature's bookkeeping against its plain twins: every cell with every mask, and slots that are and are not there."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.kernels import records
from qanat.kernels.reference import records as plain
from qanat.physics.clicks import CELL_ALICE_BASIS, CELL_ALICE_BIT, PATTERN_BASIS

TABLES = (PATTERN_BASIS, CELL_ALICE_BASIS, CELL_ALICE_BIT)


def test_every_cell_with_every_mask_gives_the_same_records() -> None:
    cells, masks = (grid.ravel().astype(np.uint8) for grid in np.meshgrid(np.arange(192), np.arange(256)))
    written = tuple(np.empty_like(cells) for _ in range(3))
    records.mask_records(cells, masks, *TABLES, *written)
    for ours, theirs in zip(written, plain.mask_records(cells, masks, *TABLES), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(20))
def test_slots_are_found_where_the_plain_twin_finds_them(seed: int) -> None:
    dice = np.random.default_rng(seed)
    known = np.unique(dice.integers(0, 200, 60)).astype(np.uint64)
    is_open = dice.random(known.size) < 0.9
    wanted = known[dice.random(known.size) < 0.2] if seed % 2 else np.unique(dice.integers(0, 220, 5)).astype(np.uint64)
    positions = np.full(wanted.size, -1, dtype=np.int64)
    missing = records.find_open(known, is_open, wanted, positions)
    found = plain.find_open(known, is_open, wanted)
    assert missing == (-1 if len(found) == wanted.size else len(found))
    assert positions[: len(found)].tolist() == found
