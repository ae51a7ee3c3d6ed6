"""What people see of ``qanat fibre``: the pairs, the light beside them, the switch."""

from __future__ import annotations

import math

from rich.console import Console

from qanat.apps.cli.fibre_findings import FibreFindings
from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.units import format_rate
from qanat.quantum_layer.coexistence import Coexistence
from qanat.quantum_layer.shared_fibre import BLOCK_BITS, SharedFibre
from qanat.quantum_layer.switched_link import SwitchedLink

WAYS = {"co": "with the quantum light", "counter": "against the quantum light", "both": "each way"}


def print_fibre(found: FibreFindings) -> None:
    """Print all findings as sentences and tables."""
    console = people_console(is_answer=True)
    console.print(
        f"[bold]{found.system.name}[/], fibre of {found.span.loss_db:g} dB ({found.span.length_km:.1f} km); secret "
        f"rates by formula, blocks of {BLOCK_BITS:,} verified bits\n",
        soft_wrap=True,
    )
    _print_pairs(console, found)
    _print_clock(console, found)
    if found.classical is not None:
        _print_classical(console, found)
    if found.switched is not None:
        _print_switch(console, found.switched)


def _print_pairs(console: Console, found: FibreFindings) -> None:
    multiplexer, times = found.multiplexer, found.options.times
    if not found.alone_bits_per_s:
        console.print(
            f"one pair alone gives no key here (QBER {100 * found.alone_qber:.1f} %): shorten the fibre", style="red"
        )
        return
    console.print(
        f"one pair alone: {format_rate(found.alone_bits_per_s)}, QBER {100 * found.alone_qber:.2f} %; the "
        f"multiplexers of both ends, {multiplexer.insertion_loss_db:g} dB, cost it {100 * found.insertion_cost:.1f} %",
        soft_wrap=True,
    )
    if found.needed is None:
        console.print(
            f"{multiplexer.num_channels} channels do not give {times:g} times the rate of one pair: take less loss, "
            "less classical light, or more fibres",
            style="red",
            soft_wrap=True,
        )
    else:
        console.print(f"{_times(times)} the rate of one pair alone: [bold]{found.needed} pairs[/]")
    show_table(
        console,
        "Pairs on one fibre" + ("" if found.classical is None else ", classical light beside them"),
        ("pairs", "cross-talk, dB", "QBER, %", "one pair", "all together", "x one alone"),
        [_row(row) for row in found.rows],
    )


def _row(row: SharedFibre) -> tuple[str, ...]:
    return (
        str(row.num_pairs),
        f"{10 * math.log10(row.crosstalk):.1f}" if row.crosstalk else "none",
        f"{100 * row.pair_qber:.2f}",
        format_rate(row.pair_rate_bits_per_s),
        format_rate(row.total_rate_bits_per_s),
        f"{row.gain:.2f}",
    )


def _times(times: float) -> str:
    return "five times" if times == 5 else f"{times:g} times"


def _print_clock(console: Console, found: FibreFindings) -> None:
    clock, one = found.system.synchronization, found.clock
    if clock is None or one is None:
        return
    console.print(
        f"\nthe clock ({clock.wavelength_nm:,.0f} nm, {clock.received_dbm:g} dBm received) scatters "
        f"{one.noise.total_per_s:.2g} photons per second into {found.filter_nm:.2g} nm: {one.odds_per_slot:.1e} clicks "
        f"per slot and detector beside {one.dark_per_slot:.1e} dark ones; {_clock_cost(one)}",
        soft_wrap=True,
    )


def _clock_cost(one: Coexistence) -> str:
    if not one.dark.secret_rate_bits_per_s:
        return "without it there is no key either"
    return f"it would cost {100 * one.cost:.2f} % and is in no other figure"


def _print_classical(console: Console, found: FibreFindings) -> None:
    light, one = found.light, found.classical
    assert light is not None
    assert one is not None
    console.print(
        f"\nclassical light: {light.num_channels} x {light.launch_dbm:g} dBm {WAYS[light.direction]}; the "
        f"receiver lets in {found.filter_nm:.2g} nm",
        soft_wrap=True,
    )
    show_table(
        console,
        "Classical light that reaches a receiver",
        ("origin", "photons per second"),
        [
            (
                f"Raman, with the light ({light.coefficient_per_nm_km:g} per nm and km)",
                f"{one.noise.forward_per_s:.3g}",
            ),
            ("Raman, against the light", f"{one.noise.backward_per_s:.3g}"),
            (f"through the filters ({light.isolation_db:g} dB)", f"{one.noise.leaked_per_s:.3g}"),
        ],
    )
    console.print(_effect(one), soft_wrap=True)
    most, half, none = ("-" if dbm is None else f"{dbm:.1f} dBm" for dbm in found.launch_dbm)
    console.print(
        f"launch power per channel: 90 % of the rate is left up to {most}, half up to {half}, none above {none}"
    )


def _effect(one: Coexistence) -> str:
    return (
        f"of a slot {1e12 * one.counted_s:.0f} ps count: {one.odds_per_slot:.1e} clicks per slot and detector beside "
        f"{one.dark_per_slot:.1e} dark ones; QBER of one pair {100 * one.dark.qber:.2f} -> {100 * one.lit.qber:.2f} %, "
        f"rate {format_rate(one.dark.secret_rate_bits_per_s)} -> {format_rate(one.lit.secret_rate_bits_per_s)} "
        f"({100 * one.cost:.1f} % less)"
    )


def _print_switch(console: Console, link: SwitchedLink) -> None:
    switch = link.switch
    console.print(
        f"\nall-pass switch: {switch.num_ports} ports, {switch.num_links_at_once} links at once, insertion loss "
        f"{switch.insertion_loss_db:g} dB, turns in {1e3 * switch.reconfiguration_s:g} ms",
        soft_wrap=True,
    )
    show_table(
        console,
        "One pair, nothing else on the fibres",
        ("", "fibres spliced", "through the switch"),
        [
            ("loss from module to module, dB", f"{link.fibre_db:g}", f"{link.path_db:g}"),
            ("secret rate while it stays", format_rate(link.spliced_bits_per_s), format_rate(link.through_bits_per_s)),
            (f"light passes for {100 * link.duty:.4g} % of the time; with that", "", _with_turns(link)),
            ("most fibre that gives key, dB", _db(link.reach_spliced_db), _db(link.reach_through_db)),
        ],
    )
    console.print(
        f"it costs {100 * link.cost:.1f} % of the rate; it joins fibres and amplifies nothing: it never extends reach"
    )


def _with_turns(link: SwitchedLink) -> str:
    return format_rate(link.duty * link.through_bits_per_s)


def _db(loss_db: float | None) -> str:
    return "none" if loss_db is None else f"{loss_db:.2f}"
