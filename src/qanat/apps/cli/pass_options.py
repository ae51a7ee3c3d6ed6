"""What ``qanat pass`` was asked for, and the pass, the system and the budget that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, cast

from qanat.apps.cli.pass_source import FoundPass, PassSource, found_pass
from qanat.ground.errors import RequestError
from qanat.orbits.downlink import Downlink, LinkBudget, link_budget
from qanat.orbits.pass_light import PassLight, expected_light
from qanat.orbits.tracking import TrackingCamera
from qanat.physics.atmosphere import Air, AirRule, Turbulence
from qanat.physics.micius import FITTED, FittedNumbers, micius_system
from qanat.physics.source_modes import STANDARD_2017, THIS_WORK, SourceMode, source_mode
from qanat.physics.system_record import QKDSystem
from qanat.physics.telescope import XINGLONG_2017, GroundTelescope, SpaceTelescope

MOST_PASSES: Final = 10_000
MOST_F_EC: Final = 10.0
OPTIMISED_BY: Final = "hoeffding"
"""The proof whose length ``optimal_source`` makes longest: the one that keys are made by."""


@dataclass(frozen=True, slots=True)
class PassOptions:
    """The options of the command. source: where the pass is from. mode None: that of the station's time. live_seed
    None: no run at photon level."""

    source: PassSource = field(default_factory=PassSource)
    mode: str | None = None
    air: str = "fitted"
    air_db: float | None = None
    constant_db: float | None = None
    jitter_urad: float | None = None
    fried_cm: float | None = None
    fixed_exposure: bool = False
    passes: int = 1
    proof: str = "hoeffding"
    f_ec: float = 1.1
    optimise: bool = False
    live_seed: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.passes <= MOST_PASSES:
            raise RequestError(f"{self.passes} passes make no block", remedy=f"give 1 to {MOST_PASSES:,}")
        if not 1 <= self.f_ec <= MOST_F_EC:
            raise RequestError(
                f"error correction cannot tell {self.f_ec:g} times the Shannon limit",
                remedy=f"give --f-ec from 1 to {MOST_F_EC:g}; Cascade reaches about 1.1",
            )
        if self.air == "table" and self.air_db is not None:
            raise RequestError(
                "--air-db is of the fitted air, --air table of the other", remedy="leave one of them out"
            )
        if self.optimise and self.proof != OPTIMISED_BY:
            raise RequestError(
                f"--optimise makes the key by {OPTIMISED_BY} longest, not that by {self.proof}",
                remedy="leave --proof or --optimise out; with --mode two sources are compared by any proof",
            )
        if self.live_seed is not None and self.passes > 1:
            raise RequestError("--live runs one pass, not several in one block", remedy="leave --live or --passes out")


class PassCase(NamedTuple):
    """What is computed: who sends how, where the satellite is, what takes the light, what arrives."""

    mode: SourceMode
    system: QKDSystem
    budget: LinkBudget
    light: PassLight
    fitted: FittedNumbers
    found: FoundPass


def case_of(options: PassOptions) -> PassCase:
    """Return the case; raises ConfigurationError and RequestError, which say what is wrong with which option."""
    found = found_pass(options.source)
    ground = found.ground
    mode = _mode(options, ground)
    fitted = _fitted(options)
    system = micius_system(mode, ground, fitted=fitted)
    _check_overridden(options, found)
    budget = link_budget(found.track, _downlink(options, ground, fitted), system, measured=found.measured)
    return PassCase(mode, system, budget, expected_light(system, budget), fitted, found)


def _check_overridden(options: PassOptions, found: FoundPass) -> None:
    """Raise RequestError for an option whose term a measured column takes the place of: it would count for nothing."""
    given = {
        "--air": ("atmosphere", options.air != "fitted"),
        "--air-db": ("atmosphere", options.air_db is not None),
        "--constant-db": ("constant", options.constant_db is not None),
        "--jitter-urad": ("pointing", options.jitter_urad is not None),
        "--fried-cm": ("turbulence", options.fried_cm is not None),
    }
    for option, (term, is_given) in given.items():
        if is_given and term in found.measured:
            raise RequestError(
                f"{option} would count for nothing: the file has the column {term}_db",
                remedy=f"leave {option} or that column out",
            )


def _mode(options: PassOptions, ground: GroundTelescope) -> SourceMode:
    if options.mode is not None:
        return source_mode(options.mode)
    return STANDARD_2017 if ground == XINGLONG_2017 else THIS_WORK


def _fitted(options: PassOptions) -> FittedNumbers:
    changes = {"air_db": options.air_db, "constant_db": options.constant_db}
    return replace(FITTED, **{name: value for name, value in changes.items() if value is not None})


def _downlink(options: PassOptions, ground: GroundTelescope, fitted: FittedNumbers) -> Downlink:
    sender = SpaceTelescope()
    if options.jitter_urad is not None:
        sender = sender.jittering(options.jitter_urad)
    turbulence = None if options.fried_cm is None else Turbulence(fried_length_m=options.fried_cm / 100)
    return Downlink(
        sender=sender,
        ground=ground,
        air=Air(
            rule=cast("AirRule", options.air),
            fitted_db=fitted.air_db,
            turbulence=turbulence,
            origin="fitted" if options.air_db is None else "input",
        ),
        constant_db=fitted.constant_db,
        constant_origin="fitted" if options.constant_db is None else "input",
        camera=TrackingCamera(follows=not options.fixed_exposure),
    )
