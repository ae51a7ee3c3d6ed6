"""What ``qanat fibre`` was asked for and what it finds: several pairs, classical light and a switch on one fibre."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Final, cast

from qanat.ground.errors import RequestError
from qanat.physics.channels import ALL_PASS_16, DWDM_16, WavelengthMultiplexer
from qanat.physics.optics import bandwidth_nm
from qanat.physics.raman import (
    DB_PER_KM,
    ISOLATION_DB,
    QUANTUM_NM,
    RAMAN_PER_NM_KM,
    ClassicalLight,
    Direction,
    Span,
    classical_noise,
    clock_noise,
    receiver_band_nm,
)
from qanat.physics.systems import QKDSystem, system_named
from qanat.quantum_layer.coexistence import Coexistence, coexistence, launch_that_leaves
from qanat.quantum_layer.shared_fibre import SharedFibre, insertion_cost, pair_rate, shared_fibre
from qanat.quantum_layer.switched_link import SwitchedLink, switched_link

MOST_LOSS_DB: Final = 100.0
MOST_TIMES: Final = 1000.0
SHARES: Final = (0.9, 0.5, 0.0)
"""Of the dark fibre's rate: the launch powers that leave more than these are told."""


@dataclass(frozen=True, slots=True)
class FibreOptions:
    """What was asked for. ``pairs``: rows of the table, None for as many as ``times`` takes. ``classical_dbm``: None
    when no data travel on the fibre; ``length_km``: None to reckon it from the loss."""

    system: str
    loss_db: float
    times: float = 5.0
    pairs: int | None = None
    insertion_db: float = DWDM_16.insertion_loss_db
    switch: bool = False
    switch_db: float = ALL_PASS_16.insertion_loss_db
    dwell_s: float | None = None
    classical_dbm: float | None = None
    classical_channels: int = 1
    direction: str = "co"
    length_km: float | None = None
    filter_nm: float | None = None
    filter_ghz: float | None = None
    raman_per_nm_km: float = RAMAN_PER_NM_KM
    isolation_db: float = ISOLATION_DB


_OF_CLASSICAL: Final = ("classical_channels", "direction", "raman_per_nm_km", "isolation_db")
_DEFAULTS: Final = {one.name: one.default for one in fields(FibreOptions)}


@dataclass(frozen=True, slots=True)
class FibreFindings:
    """All that the command tells. needed: pairs for ``times`` times the rate of one, None when all channels do not.

    classical, clock: what either light alone does to one pair; launch_dbm: launch power per channel that leaves more
    than each of ``SHARES``.
    """

    system: QKDSystem
    options: FibreOptions
    multiplexer: WavelengthMultiplexer
    span: Span
    filter_nm: float
    alone_bits_per_s: float
    alone_qber: float
    insertion_cost: float
    rows: tuple[SharedFibre, ...]
    needed: int | None
    clock: Coexistence | None
    light: ClassicalLight | None
    classical: Coexistence | None
    launch_dbm: tuple[float | None, ...]
    switched: SwitchedLink | None


def look(options: FibreOptions) -> FibreFindings:
    """Work out all that was asked for; raises RequestError or ConfigurationError for values that cannot be."""
    _check(options)
    system, loss_db = system_named(options.system), options.loss_db
    span = Span(loss_db, options.length_km or loss_db / DB_PER_KM)
    filter_nm = _filter_nm(options, system)
    multiplexer = replace(DWDM_16, insertion_loss_db=options.insertion_db)
    light = _light(options)
    noise = None if light is None else classical_noise(light, span, filter_nm=filter_nm)
    stray_per_s = 0.0 if noise is None else noise.total_per_s
    rows, needed = _rows(system, multiplexer, options, stray_per_s=stray_per_s)
    clock = clock_noise(system, span, filter_nm=filter_nm)
    alone = pair_rate(system, loss_db=loss_db)
    return FibreFindings(
        system=system,
        options=options,
        multiplexer=multiplexer,
        span=span,
        filter_nm=filter_nm,
        alone_bits_per_s=alone.secret_rate_bits_per_s,
        alone_qber=alone.qber,
        insertion_cost=insertion_cost(system, multiplexer, loss_db=loss_db),
        rows=rows,
        needed=needed,
        clock=None if clock is None else coexistence(system, clock, loss_db=loss_db),
        light=light,
        classical=None if noise is None else coexistence(system, noise, loss_db=loss_db),
        launch_dbm=()
        if light is None
        else tuple(launch_that_leaves(share, system, light, span, filter_nm=filter_nm) for share in SHARES),
        switched=_switched(options, system),
    )


def _rows(
    system: QKDSystem, multiplexer: WavelengthMultiplexer, options: FibreOptions, *, stray_per_s: float
) -> tuple[tuple[SharedFibre, ...], int | None]:
    """Every number of pairs up to the last row asked for, and the first that reaches the rate asked for."""
    every = [
        shared_fibre(system, multiplexer, loss_db=options.loss_db, num_pairs=number, stray_photons_per_s=stray_per_s)
        for number in range(1, multiplexer.num_channels + 1)
    ]
    needed = next((row.num_pairs for row in every if row.gain >= options.times), None)
    return tuple(every[: options.pairs or needed or len(every)]), needed


def _light(options: FibreOptions) -> ClassicalLight | None:
    if options.classical_dbm is None:
        return None
    return ClassicalLight(
        launch_dbm=options.classical_dbm,
        num_channels=options.classical_channels,
        direction=cast(Direction, options.direction),
        coefficient_per_nm_km=options.raman_per_nm_km,
        isolation_db=options.isolation_db,
    )


def _filter_nm(options: FibreOptions, system: QKDSystem) -> float:
    if options.filter_nm is not None:
        return options.filter_nm
    if options.filter_ghz is not None:
        return bandwidth_nm(bandwidth_hz=options.filter_ghz * 1e9, wavelength_nm=QUANTUM_NM)
    return receiver_band_nm(system)


def _switched(options: FibreOptions, system: QKDSystem) -> SwitchedLink | None:
    if not options.switch:
        return None
    switch = replace(ALL_PASS_16, insertion_loss_db=options.switch_db)
    return switched_link(system, switch, fibre_db=options.loss_db, dwell_s=options.dwell_s)


def _check(options: FibreOptions) -> None:
    """Refuse what no part further down refuses."""
    if not 0 < options.loss_db <= MOST_LOSS_DB:
        raise RequestError(
            f"{options.loss_db:g} dB is no loss of a fibre",
            remedy=f"give --loss-db above 0, at most {MOST_LOSS_DB:g} dB",
        )
    if not 0 < options.times <= MOST_TIMES:
        raise RequestError(
            f"{options.times:g} times the rate cannot be asked for",
            remedy=f"give --times above 0, at most {MOST_TIMES:g}",
        )
    if options.pairs is not None and not 1 <= options.pairs <= DWDM_16.num_channels:
        raise RequestError(
            f"{options.pairs} pairs on one fibre",
            remedy=f"give --pairs from 1 to {DWDM_16.num_channels}, the channels of the multiplexer",
        )
    if options.filter_nm is not None and options.filter_ghz is not None:
        raise RequestError("the filter has two widths", remedy="give --filter-nm or --filter-ghz, not both")
    for name in ("filter_nm", "filter_ghz", "length_km"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise RequestError(f"{value:g} is no {name}", remedy=f"give --{name.replace('_', '-')} above zero")
    if options.classical_dbm is None:
        told = {f"--{name.replace('_', '-')}" for name in _OF_CLASSICAL if getattr(options, name) != _DEFAULTS[name]}
        if told:
            raise RequestError(
                f"{', '.join(sorted(told))} without classical light", remedy="give its launch power by --classical-dbm"
            )
    if not options.switch and (options.dwell_s is not None or options.switch_db != _DEFAULTS["switch_db"]):
        raise RequestError(
            "--dwell-s and --switch-db say something of a switch, and there is none",
            remedy="give --switch too, or leave them out",
        )
