"""What docs/systems.md prints of data channels, clock and switch is what the formulas give today."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from qanat.apps.cli.fibre_findings import FibreFindings, FibreOptions, look

PAGE = (Path(__file__).parents[2] / "docs" / "systems.md").read_text(encoding="utf-8")
FLAT = " ".join(PAGE.split())


def cells_of(*starts: str) -> list[str]:
    """Return the cells of the one table row that begins so."""
    (row,) = (line for line in PAGE.splitlines() if line.startswith("| " + " | ".join(starts) + " |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


@cache
def beside(dbm: float, direction: str = "co") -> FibreFindings:
    return look(FibreOptions("backbone-625", 16.0, length_km=63.8, classical_dbm=dbm, direction=direction, switch=True))


@pytest.mark.parametrize("direction", ["co", "counter"])
@pytest.mark.parametrize("dbm", [-30, -20, -10])
def test_the_table_of_data_channels(direction: str, dbm: int) -> None:
    one = beside(dbm, direction).classical
    assert one is not None
    _, _, clicks, qber, kbit = cells_of(direction, str(dbm))
    assert float(clicks) == pytest.approx(one.odds_per_slot, rel=0.05)
    assert qber == f"{100 * one.lit.qber:.2f}"
    assert kbit == f"{one.lit.secret_rate_bits_per_s / 1000:.1f}"


def test_how_strong_data_channels_may_be() -> None:
    found = {way: beside(-20, way).launch_dbm for way in ("co", "counter")}
    half, none = ([found[way][place] or 0.0 for way in ("co", "counter")] for place in (1, 2))
    assert f"one channel of {half[0]:.1f} dBm with the quantum light, or of {half[1]:.1f} dBm against it" in FLAT
    assert f"none above {none[0]:.1f} or {none[1]:.1f} dBm" in FLAT


@pytest.mark.parametrize("name", ["backbone-625", "backbone-625-upconversion", "metro-40-i", "metro-40-ii"])
def test_the_table_of_the_clock(name: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{name}` | 0.")]
    told = [cell.strip() for cell in rows[0].strip("|").split("|")][1:]
    for loss_db, text in zip((5.8, 9.8, 16.0, 20.5, 27.0), told, strict=True):
        one = look(FibreOptions(name, loss_db)).clock
        assert one is not None
        if text == "no key":
            assert one.dark.secret_rate_bits_per_s == 0
        else:
            assert text == f"{one.odds_per_slot / one.dark_per_slot:.2f}, {100 * one.cost:.2f} %"


def test_the_figures_of_the_switch() -> None:
    link = beside(-20).switched
    assert link is not None
    assert (
        f"{link.spliced_bits_per_s / 1e3:.1f} kbit/s spliced and {link.through_bits_per_s / 1e3:.1f} through it" in FLAT
    )
    assert f"{link.reach_spliced_db} dB spliced, {link.reach_through_db} dB through it" in FLAT
