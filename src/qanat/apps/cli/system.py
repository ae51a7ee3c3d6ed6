"""``qanat system``: the QKD systems there are, and one record as an engineer reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate
from typing import Any

from rich.console import Console

from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.units import format_rate
from qanat.physics.detectors import SinglePhotonDetector
from qanat.physics.optics import (
    DIGITS_DB,
    Component,
    bandwidth_nm,
    chain_bandwidth_hz,
    chain_isolation_db,
    chain_loss_db,
)
from qanat.physics.raman import QUANTUM_NM
from qanat.physics.systems import SATELLITE_SYSTEMS, SYSTEMS, QKDSystem, system_named
from qanat.quantum_layer.shared_fibre import BLOCK_BITS, pair_rate
from qanat.quantum_layer.switched_link import reach_db

DETECTOR_PLACES = ("rectilinear, bit 0", "rectilinear, bit 1", "diagonal, bit 0", "diagonal, bit 1")
RATES_AT_DB = (5.8, 16.0)
"""Losses at which the list gives rates: a short link of the metropolitan networks, a mean span of the backbone."""


def run_list(*, as_json: bool) -> int:
    """Print the systems with what each gives, by formula. Returns 0."""
    rows = [_summary(system) for system in SYSTEMS.values()]
    if as_json:
        print(json.dumps({"block_bits": BLOCK_BITS, "systems": rows}, indent=2))
        return 0
    console = people_console(is_answer=True)
    show_table(
        console,
        f"QKD systems; secret rates by formula, blocks of {BLOCK_BITS:,} verified bits",
        (
            "system",
            "pulses",
            "detectors",
            "receiver, dB",
            *(f"at {loss_db:g} dB" for loss_db in RATES_AT_DB),
            "reach, dB",
        ),
        [
            (
                row["name"],
                f"{row['pulse_rate_hz'] / 1e6:g} MHz",
                row["detector"],
                f"{row['receiver_loss_db']:g}",
                *(format_rate(rate) for rate in row["secret_rates_bits_per_s"]),
                "none" if row["reach_db"] is None else f"{row['reach_db']:.1f}",
            )
            for row in rows
        ],
    )
    console.print(f"of satellites, for `qanat pass`: {', '.join(SATELLITE_SYSTEMS)}")
    console.print("`qanat system show NAME` prints a record; docs/systems.md says how to add one")
    return 0


def run_show(name: str, *, as_json: bool) -> int:
    """Print one record: both optics chains with running totals, detectors, clock, sources. Returns 0."""
    system = system_named(name)
    if as_json:
        print(json.dumps(_record(system), indent=2))
    else:
        _print(system)
    return 0


def running_totals_db(chain: Sequence[Component]) -> list[float]:
    """Return the loss from the start of a chain to behind each of its components (dB)."""
    return [round(total, DIGITS_DB) for total in accumulate(one.insertion_loss_db for one in chain)]


def _summary(system: QKDSystem) -> dict[str, Any]:
    return {
        "name": system.name,
        "pulse_rate_hz": system.source.pulse_rate_hz,
        "detector": system.receiver.detector.kind,
        "receiver_loss_db": system.receiver.loss_db,
        "losses_db": list(RATES_AT_DB),
        "secret_rates_bits_per_s": [pair_rate(system, loss_db=db).secret_rate_bits_per_s for db in RATES_AT_DB],
        "reach_db": reach_db(system),
    }


def _record(system: QKDSystem) -> dict[str, Any]:
    receiver = system.receiver
    return {
        "name": system.name,
        "is_transceiver": system.is_transceiver,
        "source": {key: value for key, value in asdict(system.source).items() if key != "optics"},
        "transmitter": _chain_record(system.source.optics),
        "receiver": {
            **_chain_record(receiver.optics),
            "optical_error": receiver.optical_error,
            "p_rectilinear": receiver.p_rectilinear,
            "double_clicks": receiver.double_clicks,
        },
        "detectors": [
            {"place": place, **_detector_record(detector)}
            for place, detector in zip(DETECTOR_PLACES, receiver.detectors, strict=True)
        ],
        "synchronization": None if system.synchronization is None else asdict(system.synchronization),
        "provenance": dict(system.provenance),
    }


def _detector_record(detector: SinglePhotonDetector) -> dict[str, Any]:
    return {**asdict(detector), "provenance": dict(detector.provenance)}


def _chain_record(chain: Sequence[Component]) -> dict[str, Any]:
    return {
        "components": [
            {**asdict(one), "total_db": total_db} for one, total_db in zip(chain, running_totals_db(chain), strict=True)
        ],
        "loss_db": chain_loss_db(chain),
        "isolation_db": chain_isolation_db(chain),
        "bandwidth_hz": chain_bandwidth_hz(chain),
    }


def _print(system: QKDSystem) -> None:
    console = people_console(is_answer=True)
    source = system.source
    console.print(
        f"[bold]{system.name}[/]: {source.pulse_rate_hz / 1e6:g} MHz, pulses of {1e12 * source.pulse_width_s:g} ps, "
        f"mean photons {_list(source.mean_photon_numbers)} in shares {_list(source.p_intensities)}"
        + ("; a transceiver: both directions on one fibre" if system.is_transceiver else ""),
        soft_wrap=True,
    )
    console.print(f"{source.modulation}\n", soft_wrap=True)
    _print_chain(console, "Transmitter, from a laser to the exit", source.optics)
    _print_chain(console, "Receiver, from the fibre to a detector", system.receiver.optics)
    _print_detectors(console, system)
    _print_rest(console, system)


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _print_chain(console: Console, title: str, chain: Sequence[Component]) -> None:
    rows = [
        (
            one.name,
            f"{one.insertion_loss_db:g}",
            f"{total:g}",
            _db(one.isolation_db),
            _db(one.port_isolation_db),
            _band(one),
        )
        for one, total in zip(chain, running_totals_db(chain), strict=True)
    ]
    bandwidth_hz = chain_bandwidth_hz(chain)
    total_db = chain_loss_db(chain)
    rows.append(("total", f"{total_db:g}", f"{total_db:g}", f"{chain_isolation_db(chain):g}", "", _width(bandwidth_hz)))
    show_table(
        console,
        title,
        ("component", "loss, dB", "so far", "backwards, dB", "between ports, dB", "bandwidth"),
        rows,
    )


def _db(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _band(one: Component) -> str:
    return _width(one.bandwidth_hz)


def _width(bandwidth_hz: float | None) -> str:
    if bandwidth_hz is None:
        return ""
    if bandwidth_hz >= 1e12:
        return f"{bandwidth_hz / 1e12:.3g} THz"
    return f"{bandwidth_hz / 1e9:g} GHz, {bandwidth_nm(bandwidth_hz=bandwidth_hz, wavelength_nm=QUANTUM_NM):.2g} nm"


def _print_detectors(console: Console, system: QKDSystem) -> None:
    four = system.receiver.detectors
    is_common = len(set(four)) == 1
    columns = ("all four",) if is_common else DETECTOR_PLACES
    shown = [_detector_cells(one, system) for one in (four[:1] if is_common else four)]
    show_table(
        console,
        f"Detectors: {', '.join(sorted({one.kind for one in four}))}",
        ("", *columns),
        [(name, *(cells[name] for cells in shown)) for name in shown[0]],
    )


def _detector_cells(one: SinglePhotonDetector, system: QKDSystem) -> dict[str, str]:
    slot_s = 1 / system.source.pulse_rate_hz
    counted = one.counted_efficiency(pulse_width_s=system.source.pulse_width_s)
    return {
        "efficiency": f"{100 * one.efficiency:g} %",
        "of which in gate and window": f"{100 * counted:.4g} %",
        "dark counts per slot": f"{one.p_dark_per_gate:.3g}",
        "dark counts per second": f"{one.p_dark_per_gate / slot_s:.4g}",
        "hold-off": f"{1e6 * one.hold_off_s:g} us",
        "after-pulses per click": f"{100 * one.p_afterpulse:g} %, decay {1e6 * one.afterpulse_decay_s:g} us",
        "jitter": f"{1e12 * one.jitter_fwhm_s:g} ps",
        "gate": "free-running" if one.gate_rate_hz is None else _gate(one),
        "coincidence window": "-" if one.coincidence_window_s is None else f"{1e12 * one.coincidence_window_s:g} ps",
        "counts steady light for": f"{1e12 * one.counted_time_s(slot_s=slot_s):g} ps of {1e12 * slot_s:g}",
    }


def _gate(one: SinglePhotonDetector) -> str:
    return f"{(one.gate_rate_hz or 0) / 1e6:g} MHz, {1e12 * (one.gate_width_s or 0):g} ps"


def _print_rest(console: Console, system: QKDSystem) -> None:
    receiver, clock = system.receiver, system.synchronization
    console.print(
        f"optical error {100 * receiver.optical_error:g} %, rectilinear basis {receiver.p_rectilinear:g}; several "
        f"clicks in a slot: {receiver.double_clicks}"
    )
    if clock is not None:
        console.print(
            f"clock: {clock.wavelength_nm:,.0f} nm, {clock.rate_hz / 1e3:g} kHz, {clock.received_dbm:g} dBm received"
        )
    console.print("\nWhere the figures are from")
    for name, origin in system.origins.items():
        console.print(f"  {name}: {origin}", soft_wrap=True, markup=False)
