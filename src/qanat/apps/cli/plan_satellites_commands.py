"""The command ``qanat plan satellites`` with its options; added to the others in ``plan_commands``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from qanat.apps.cli.paths import named_path


def add_plan_satellites(plan: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]) -> None:
    """Add the command; ``end_with`` runs it and exits with its status."""

    @plan.command()
    def satellites(
        satellite: Annotated[
            list[str],
            typer.Option(
                help="A file of elements, micius, or an orbit such as circular:500,97.4, geo:110 or "
                "walker-delta:1200,53,24/6/1; may be given again."
            ),
        ],
        station: Annotated[
            list[str],
            typer.Option(help="nanshan, xinglong, LAT,LON,ALT (degrees, metres) or a file; may be given again."),
        ],
        start: Annotated[str | None, typer.Option(help="First moment, such as 2026-01-01; UTC.")] = None,
        days: Annotated[float, typer.Option(help="How long from there.")] = 365.0,
        min_elevation: Annotated[float, typer.Option(help="The mask: least elevation, degrees.")] = 10.0,
        sun_below: Annotated[float, typer.Option(help="Night: the Sun so many degrees below the horizon.")] = 12.0,
        accept_stale: Annotated[
            bool, typer.Option("--accept-stale", help="Go on with elements more than 30 days from the span.")
        ] = False,
        slew_s: Annotated[float, typer.Option(help="Seconds to turn from one partner to the next.")] = 60.0,
        clear: Annotated[float, typer.Option(help="Odds of a clear sky, an assumption; see --weather.")] = 0.5,
        spell_hours: Annotated[float, typer.Option(help="Mean length of a clear spell, hours.")] = 24.0,
        weather: Annotated[
            Path | None, typer.Option(parser=named_path, help="A file: sky by station, month and region.")
        ] = None,
        demand: Annotated[
            list[str] | None,
            typer.Option(
                metavar="A,B[,MBIT]", help="Key that two stations ask, Mbit a week; repeatable; else all pairs alike."
            ),
        ] = None,
        objective: Annotated[
            str, typer.Option(help="level: the least share of any demand as high as can be; total: their sum.")
        ] = "level",
        exact_s: Annotated[float, typer.Option(help="Seconds of branch and bound besides.")] = 0.0,
        draws: Annotated[int, typer.Option(help="Draws of the weather.")] = 400,
        seed: Annotated[int, typer.Option(min=0, help="Seed of the weather.")] = 1,
        mode: Annotated[str, typer.Option(help="The source: this-work, standard-2017, tiangong-2.")] = "this-work",
        proof: Annotated[str, typer.Option(help="The proof of the key, such as hoeffding or chernoff.")] = "hoeffding",
        divergence_urad: Annotated[float, typer.Option(help="Full angle of the beam at 1/e^2, microradian.")] = 10.0,
        air_db: Annotated[float | None, typer.Option(help="Loss per air mass in place of the fitted one.")] = None,
        telescope_m: Annotated[float, typer.Option(help="Aperture of stations that have none of their own.")] = 1.2,
        user_bits: Annotated[int, typer.Option(help="Key that a user takes each time.")] = 8_192,
        user_days: Annotated[float, typer.Option(help="How often, days.")] = 10.0,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")] = False,
        csv: Annotated[bool, typer.Option("--csv", help="Print the passes as CSV to standard output.")] = False,
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
                air_db=air_db,
                telescope_m=telescope_m,
                user_bits=user_bits,
                user_days=user_days,
            )
            return run_plan_satellites(options, as_json=json, as_csv=csv)

        end_with(command)
