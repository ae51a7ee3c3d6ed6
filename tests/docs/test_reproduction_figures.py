"""Figures that the pages print as computed by formula are what the formulas give today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qanat.physics.channels import DWDM_16
from qanat.physics.systems import BACKBONE_625, QKDSystem, system_named
from qanat.protocols.prediction import expected_rate
from qanat.quantum_layer.shared_fibre import pairs_for, shared_fibre

DOCS = Path(__file__).parents[2] / "docs"
REPRODUCTION = (DOCS / "reproduction.md").read_text(encoding="utf-8")
SYSTEMS_PAGE = (DOCS / "systems.md").read_text(encoding="utf-8")


def kbit(system: QKDSystem, loss_db: float, block_bits: int = 2**22) -> float:
    return expected_rate(system, loss_db=loss_db, block_bits=block_bits).secret_rate_bits_per_s / 1000


def row_of(page: str, *words: str) -> str:
    (row,) = (line for line in page.splitlines() if all(word in line for word in words))
    return row


@pytest.mark.parametrize("system", ["metro-40-i", "metro-40-ii"])
@pytest.mark.parametrize("place", [(5.8, "Jinan"), (9.3, "Beijing"), (9.8, "Shanghai")], ids=str)
def test_the_metropolitan_table(system: str, place: tuple[float, str]) -> None:
    loss_db, city = place
    lines = REPRODUCTION.splitlines()
    (first,) = (number for number, line in enumerate(lines) if line.startswith(f"| {loss_db} |") and city in line)
    row = next(line for line in lines[first:] if f"`{system}` " in line)
    rate = expected_rate(system_named(system), loss_db=loss_db, block_bits=2**22)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[4] == f"{rate.secret_rate_bits_per_s / 1000:.1f}"
    assert cells[6] == f"{kbit(system_named(system), loss_db, 10**8):.1f}"
    assert cells[7] == f"{rate.secret_rate_asymptotic_bits_per_s / 1000:.1f}"
    assert cells[8] == f"{100 * rate.qber:.2f} %"
    assert float(cells[5]) == pytest.approx(float(cells[4]), rel=0.07)  # photon level


def test_up_conversion_gives_twice_the_key_at_27_decibels() -> None:
    plain, up = (kbit(system_named(name), 27.0) for name in ("backbone-625", "backbone-625-upconversion"))
    assert up > 2 * plain > 0
    row = row_of(REPRODUCTION, "27 dB: rate, QBER")
    assert f"| {plain:.2f}, 1.37 % | {up:.1f}, 1.02 % |" in row


@pytest.mark.parametrize("percent", [0.25, 0.5, 1.0, 2.0])
def test_what_after_pulses_would_do_to_the_backbone(percent: float) -> None:
    detector = replace(BACKBONE_625.receiver.detector, p_afterpulse=percent / 100)
    system = replace(BACKBONE_625, receiver=replace(BACKBONE_625.receiver, detector=detector))
    row = row_of(REPRODUCTION, f"| {percent:g} % | ")
    for block_bits in (2**22, 10**8):
        near, middle, far = (kbit(system, loss_db, block_bits) for loss_db in (10.3, 16.0, 20.5))
        assert f"{near:.0f} / {middle:.1f} / {far:.1f}" in row


@pytest.mark.parametrize("loss_db", [10.3, 16.0, 20.5])
def test_the_table_of_several_pairs(loss_db: float) -> None:
    gains = [shared_fibre(BACKBONE_625, DWDM_16, loss_db=loss_db, num_pairs=number).gain for number in (1, 3, 5, 6, 7)]
    row = row_of(SYSTEMS_PAGE, f"| {loss_db} | ")
    assert " | ".join(f"x {gain:.2f}" for gain in gains) in row
    assert row.endswith(f"| {pairs_for(BACKBONE_625, DWDM_16, loss_db=loss_db, times_rate=5.0).num_pairs} |")
