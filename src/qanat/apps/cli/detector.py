"""``qanat detector characterize``: what clicks tell of a detector, beside what its record says."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.randomness import SeededChance
from qanat.quantum_layer.calibration.characterization import Estimate
from qanat.quantum_layer.calibration.detectors import DetectorRecord, detector_named
from qanat.quantum_layer.device_twin.detector_clicks import characterize_twin


class Row(NamedTuple):
    """One quantity: its name with unit, the record's value, and what was recovered, in that unit."""

    name: str
    record: float
    measured: float
    low: float
    high: float
    is_within: bool


RECOVERED = {
    "efficiency": "efficiency",
    "p_dark_per_gate": "dark counts",
    "hold_off_s": "dead time",
    "p_afterpulse": "after-pulses",
}
"""Fields of a detector's record that a characterization recovers, and what people call them."""


def run_characterize(name: str, *, seed: int, as_json: bool) -> int:
    """Characterize a detector's twin. Returns 0 when every interval holds the record's value, else 1."""
    record = detector_named(name)
    generator = np.random.default_rng(SeededChance(seed).child("detector", name).seed_words())
    found = characterize_twin(record, generator)
    rows = [
        _row("efficiency, %", record.efficiency, found.efficiency, 100),
        _row("dark counts, 1/s", record.p_dark_per_gate, found.p_dark_per_gate, record.gate_rate_hz),
        _row("dead time, ns", record.dead_gates, found.dead_gates, 1e9 / record.gate_rate_hz),
        _row("after-pulses, %", record.p_afterpulse, found.p_afterpulse, 100),
    ]
    if as_json:
        told = {
            "detector": name,
            "seed": seed,
            "provenance": dict(record.provenance),
            "rows": [row._asdict() for row in rows],
        }
        print(json.dumps(told, indent=2))
    else:
        _print(record, rows)
    return 0 if all(row.is_within for row in rows) else 1


def _row(name: str, value: float, found: Estimate, unit: float) -> Row:
    return Row(name, value * unit, found.value * unit, found.low * unit, found.high * unit, found.holds(value))


def _print(record: DetectorRecord, rows: list[Row]) -> None:
    console = people_console(is_answer=True)
    show_table(
        console,
        f"{record.title} ({record.name})",
        ("quantity", "record", "from clicks", "99.9 % interval", "holds the record"),
        [
            (
                row.name,
                f"{row.record:.4g}",
                f"{row.measured:.4g}",
                f"{row.low:.4g} to {row.high:.4g}",
                "yes" if row.is_within else "no",
            )
            for row in rows
        ],
    )
    for field, text in RECOVERED.items():
        console.print(f"  {text}, record: {record.provenance[field]}", soft_wrap=True)
