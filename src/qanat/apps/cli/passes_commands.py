"""The command ``qanat passes`` with its options; added to the others in ``main``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

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


def add_passes_command(app: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]) -> None:
    """Add the command; ``end_with`` runs it and exits with its status."""

    @app.command()
    def passes(
        satellite: Annotated[
            list[str],
            typer.Option(
                help="A file of two-line elements or OMM, the name of a packaged set (micius), or an orbit such as "
                "circular:500,97.4 or geo:110 or walker-delta:1200,53,24/6/1; may be given again."
            ),
        ],
        station: StationOption,
        start: Annotated[
            str | None, typer.Option(help="First moment, such as 2016-12-19T12:00; UTC unless it has an offset.")
        ] = None,
        days: DaysOption = 1.0,
        min_elevation: MaskOption = 10.0,
        sun_below: Annotated[
            float, typer.Option(help="It is dark where the Sun is so many degrees below the horizon.")
        ] = 12.0,
        only_dark: Annotated[bool, typer.Option("--only-dark", help="Leave out passes without any darkness.")] = False,
        accept_stale: StaleOption = False,
        ut1_utc: Annotated[float, typer.Option(help="UT1 - UTC in seconds, of IERS Bulletin A.")] = 0.0,
        json: JsonOption = False,
        csv: CsvOption = False,
        out: Annotated[
            Path | None,
            typer.Option(
                parser=named_path, help="Write ground track and calendar of nights with their data into this folder."
            ),
        ] = None,
        coverage: Annotated[
            list[float] | None,
            typer.Option(help="With --out: draw the coverage from this elevation up too, degrees; may be given again."),
        ] = None,
    ) -> None:
        """Tell when satellites pass over stations, how high and how near, and whether it is dark."""

        def command() -> int:
            from qanat.apps.cli.passes import run_passes
            from qanat.apps.cli.passes_search import PassesOptions

            options = PassesOptions(
                satellites=tuple(satellite),
                stations=tuple(station),
                start=start,
                days=days,
                min_elevation_deg=min_elevation,
                sun_below_deg=sun_below,
                only_dark=only_dark,
                accept_stale=accept_stale,
                ut1_minus_utc_s=ut1_utc,
            )
            return run_passes(options, as_json=json, as_csv=csv, out=out, cones_deg=coverage or ())

        end_with(command)
