"""The commands of ``qanat plan`` that are about satellites; added to the others in ``plan_commands``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeAlias

import typer

from qanat.apps.cli.paths import named_path
from qanat.apps.cli.satellite_options import (
    CsvOption,
    DaysOption,
    JsonOption,
    MaskOption,
    StaleOption,
    StationOption,
)
from qanat.orbits.contention import SLEW_S

EndWith: TypeAlias = Callable[[Callable[[], int]], NoReturn]

SatelliteOption = Annotated[
    list[str],
    typer.Option(
        help="A file of elements, micius, or an orbit such as circular:500,97.4, geo:110 or "
        "walker-delta:1200,53,24/6/1; may be given again."
    ),
]
StartOption = Annotated[str | None, typer.Option(help="First moment, such as 2026-01-01; UTC.")]
NightOption = Annotated[float, typer.Option(help="Night: the Sun so many degrees below the horizon.")]
SlewOption = Annotated[float, typer.Option(help="Seconds to turn from one partner to the next.")]
ClearOption = Annotated[float, typer.Option(help="Odds of a clear sky, an assumption; see --weather.")]
SpellOption = Annotated[float, typer.Option(help="Mean length of a clear spell, hours.")]
WeatherOption = Annotated[
    Path | None, typer.Option(parser=named_path, help="A file: sky by station, month and region.")
]
DemandOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A,B[,MBIT]",
        help="Key that two stations ask, Mbit a week; repeatable, all with a number or none: alike; else all pairs.",
    ),
]
ObjectiveOption = Annotated[
    str, typer.Option(help="level: the least share of any demand as high as can be; total: their sum.")
]
ExactOption = Annotated[float, typer.Option(help="Seconds of branch and bound besides.")]
DrawsOption = Annotated[int, typer.Option(help="Draws of the weather.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of the weather.")]
ModeOption = Annotated[str, typer.Option(help="The source: this-work, standard-2017, tiangong-2.")]
ProofOption = Annotated[str, typer.Option(help="The proof of the key, such as hoeffding or chernoff.")]
BeamOption = Annotated[float, typer.Option(help="Full angle of the beam at 1/e^2, microradian.")]
AirOption = Annotated[float | None, typer.Option(help="Loss per air mass in place of the fitted one, dB.")]
JitterOption = Annotated[
    float | None, typer.Option(help="Pointing jitter about each axis, urad (rms); 2.5 unless said.")
]
UmbraOption = Annotated[
    bool, typer.Option("--umbra-only", help="Leave out passes with the satellite in sunlight, as a calendar does.")
]
TelescopeOption = Annotated[
    float | None, typer.Option(help="Aperture of stations that have none of their own, metres; 1.2 unless said.")
]
UserBitsOption = Annotated[int, typer.Option(help="Key that a user takes each time.")]
UserDaysOption = Annotated[float, typer.Option(help="How often, days.")]


def add_satellite_plans(plan: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and exits with its status."""
    _add_satellites(plan, end_with)
    _add_constellations(plan, end_with)
    _add_high_orbits(plan, end_with)


def _add_satellites(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command()
    def satellites(
        satellite: SatelliteOption,
        station: StationOption,
        start: StartOption = None,
        days: DaysOption = 365.0,
        min_elevation: MaskOption = 10.0,
        sun_below: NightOption = 12.0,
        umbra_only: UmbraOption = False,
        accept_stale: StaleOption = False,
        slew_s: SlewOption = SLEW_S,
        clear: ClearOption = 0.5,
        spell_hours: SpellOption = 24.0,
        weather: WeatherOption = None,
        demand: DemandOption = None,
        objective: ObjectiveOption = "level",
        exact_s: ExactOption = 0.0,
        draws: DrawsOption = 400,
        seed: SeedOption = 1,
        mode: ModeOption = "this-work",
        proof: ProofOption = "hoeffding",
        divergence_urad: BeamOption = 10.0,
        jitter_urad: JitterOption = None,
        air_db: AirOption = None,
        telescope_m: TelescopeOption = None,
        user_bits: UserBitsOption = 8_192,
        user_days: UserDaysOption = 10.0,
        json: JsonOption = False,
        csv: CsvOption = False,
    ) -> None:
        """Plan satellites: key by week and year under weather, a schedule beside its bound, users served."""

        def command() -> int:
            from qanat.apps.cli.plan_satellites import run_plan_satellites
            from qanat.apps.cli.satellite_planning import SatellitePlanOptions

            options = SatellitePlanOptions(
                satellites=tuple(satellite),
                stations=tuple(station),
                start=start,
                days=days,
                min_elevation_deg=min_elevation,
                sun_below_deg=sun_below,
                umbra_only=umbra_only,
                accept_stale=accept_stale,
                slew_s=slew_s,
                p_clear=clear,
                clear_spell_h=spell_hours,
                weather=weather,
                demands=tuple(demand or ()),
                objective=objective,
                exact_s=exact_s,
                draws=draws,
                seed=seed,
                mode=mode,
                proof=proof,
                divergence_urad=divergence_urad,
                jitter_urad=jitter_urad,
                air_db=air_db,
                telescope_m=telescope_m,
                user_bits=user_bits,
                user_days=user_days,
            )
            return run_plan_satellites(options, as_json=json, as_csv=csv)

        end_with(command)


def _add_constellations(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command()
    def constellations(
        satellite: SatelliteOption,
        station: StationOption,
        start: StartOption = None,
        days: DaysOption = 28.0,
        min_elevation: MaskOption = 10.0,
        sun_below: NightOption = 12.0,
        umbra_only: UmbraOption = False,
        slew_s: SlewOption = SLEW_S,
        clear: ClearOption = 0.5,
        divergence_urad: BeamOption = 10.0,
        jitter_urad: JitterOption = None,
        telescope_m: TelescopeOption = None,
        json: JsonOption = False,
    ) -> None:
        """Set constellations side by side: satellites, key by day and pair, waits between passes."""

        def command() -> int:
            from qanat.apps.cli.plan_orbits import run_constellations
            from qanat.apps.cli.satellite_planning import SatellitePlanOptions

            common = SatellitePlanOptions(
                satellites=(),
                stations=tuple(station),
                start=start,
                days=days,
                min_elevation_deg=min_elevation,
                sun_below_deg=sun_below,
                umbra_only=umbra_only,
                slew_s=slew_s,
                p_clear=clear,
                divergence_urad=divergence_urad,
                jitter_urad=jitter_urad,
                telescope_m=telescope_m,
            )
            return run_constellations(satellite, common, as_json=json)

        end_with(command)


def _add_high_orbits(plan: typer.Typer, end_with: EndWith) -> None:
    @plan.command("high-orbits")
    def high_orbits(
        station: Annotated[
            list[str] | None,
            typer.Option(help="Stations for a geostationary link of their own: nanshan, LAT,LON,ALT or a file."),
        ] = None,
        block_s: Annotated[float, typer.Option(help="Seconds of light in a block; a night is some 36,000.")] = 36_000.0,
        day_times: Annotated[
            float, typer.Option(help="The day's sky over the night's: an order of magnitude, stated.")
        ] = 1e5,
        proof: ProofOption = "hoeffding",
        json: JsonOption = False,
    ) -> None:
        """Key from geostationary and medium orbits: Extended Data Table 3 row by row, by night and by day."""

        def command() -> int:
            from qanat.apps.cli.plan_orbits import run_high_orbits

            return run_high_orbits(station or [], block_s=block_s, day_times=day_times, proof=proof, as_json=json)

        end_with(command)
