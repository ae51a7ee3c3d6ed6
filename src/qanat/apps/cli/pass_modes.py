"""``qanat pass --source-modes``: the satellite's eight lasers, its modes, and the table from old random numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np

from qanat.apps.cli.pass_options import PassOptions
from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.errors import RequestError
from qanat.physics.source_modes import (
    BACKUP_DIODES,
    DEFAULT_DIODES,
    SOURCE_MODES,
    STATES,
    SourceMode,
    diode_for,
    number_map,
)

MAP_BITS: Final = 16
INTENSITIES: Final = ("signal", "decoy", "vacuum")
NUM_TURNS: Final = 4
"""Pulses in a row, to show how the two lasers of a pair take turns."""


def run_source_modes(options: PassOptions, *, as_json: bool, as_csv: bool, out: Path | None) -> int:
    """Print the modes; returns 0. Raises RequestError where ``options`` ask for a pass as well."""
    if options != PassOptions() or as_csv or out is not None:
        raise RequestError(
            "--source-modes shows the source and computes no pass", remedy="leave the other options out, but for --json"
        )
    if as_json:
        print(json.dumps(modes_record(), indent=2))
        return 0
    console = people_console(is_answer=True)
    modes = [_mode_row(mode) for mode in SOURCE_MODES.values()]
    show_table(console, "Modes", ("mode", "pulses/s", "photons", "odds", "rectilinear", "lasers"), modes)
    lasers = [
        (one.name, one.state, _sends(one.intensities), _sends(other.intensities))
        for one, other in zip(DEFAULT_DIODES, BACKUP_DIODES, strict=True)
    ]
    show_table(console, "Lasers: what each may send", ("laser", "state", "default, 100 MHz", "backup, 200 MHz"), lasers)
    for mode in SOURCE_MODES.values():
        console.print(f"{mode.name}: signals in H, pulse by pulse: {', '.join(_turns(mode))}", markup=False)
    console.print()
    for mode in SOURCE_MODES.values():
        title = f"{mode.name}: of the {2**MAP_BITS:,} numbers of {MAP_BITS} old random bits"
        rows = [(INTENSITIES[k], *cells) for k, cells in enumerate(_map_rows(mode))]
        show_table(console, title, ("sends", *STATES), rows)
    console.print("each cell: how many numbers, and the odds that these are (wanted odds are met to 1.6e-5)")
    return 0


def modes_record() -> dict[str, Any]:
    """Return modes, lasers and tables as JSON has them."""
    return {
        "modes": [
            {
                "name": mode.name,
                "pulse_rate_hz": mode.pulse_rate_hz,
                "mean_photon_numbers": list(mode.mean_photon_numbers),
                "p_intensities": list(mode.p_intensities),
                "p_rectilinear": mode.p_rectilinear,
                "provenance": dict(mode.provenance),
                "lasers": [
                    {"name": one.name, "state": one.state, "sends": [INTENSITIES[k] for k in one.intensities]}
                    for one in mode.diodes
                ],
                "map": _map_record(mode),
            }
            for mode in SOURCE_MODES.values()
        ],
    }


def _map_record(mode: SourceMode) -> dict[str, Any]:
    """Return the table of a mode: ranges of numbers, from and to, with what they send."""
    found = number_map(mode.odds, num_bits=MAP_BITS)
    numbers = np.arange(2**MAP_BITS, dtype=np.uint32)
    intensities, states = found.look_up(numbers)
    cells = 4 * intensities.astype(np.int64) + states
    first = np.flatnonzero(np.diff(cells, prepend=-1))
    last = np.append(first[1:], cells.size) - 1
    return {
        "num_bits": MAP_BITS,
        "ranges": [
            {"from": int(a), "to": int(b), "sends": INTENSITIES[intensities[a]], "state": STATES[states[a]]}
            for a, b in zip(first, last, strict=True)
        ],
        "greatest_error_of_odds": float(abs(found.odds - mode.odds).max()),
    }


def _map_rows(mode: SourceMode) -> list[tuple[str, ...]]:
    found = number_map(mode.odds, num_bits=MAP_BITS)
    counts = np.rint(found.odds * 2**MAP_BITS).astype(int)
    return [
        tuple(f"{count:,} ({100 * share:.3f} %)" for count, share in zip(*row, strict=True))
        for row in zip(counts.tolist(), found.odds.tolist(), strict=True)
    ]


def _mode_row(mode: SourceMode) -> tuple[str, ...]:
    return (
        mode.name,
        f"{mode.pulse_rate_hz / 1e6:g} M",
        ", ".join(f"{number:g}" for number in mode.mean_photon_numbers),
        " : ".join(f"{share:g}" for share in mode.p_intensities),
        f"{mode.p_rectilinear:g}",
        "backup" if mode.diodes == BACKUP_DIODES else "default",
    )


def _sends(intensities: tuple[int, ...]) -> str:
    return " or ".join(INTENSITIES[k] for k in intensities)


def _turns(mode: SourceMode) -> list[str]:
    turns = (diode_for(mode, pulse=pulse, intensity=0, state=0) for pulse in range(NUM_TURNS))
    return [one.name for one in turns if one is not None]
