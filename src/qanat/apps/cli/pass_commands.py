"""The command ``qanat pass`` with its options; added to the others in ``main``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, Protocol

import typer

from qanat.apps.cli.paths import named_path

SatelliteOption = Annotated[
    str | None,
    typer.Option(
        help="With --date: micius (unless said), a file of elements, or an orbit as `qanat passes` takes. With "
        "--track: a name for it."
    ),
]
StationOption = Annotated[
    str | None,
    typer.Option(
        help="nanshan, xinglong, xinglong-2017 (its optics then), or a station's file; by default the one that the "
        "file of --track names, else nanshan."
    ),
]
DateOption = Annotated[
    str | None, typer.Option(help="A pass of the 24 hours from this moment, such as 2016-12-19T10:00 (UTC).")
]
NumberOption = Annotated[
    int | None, typer.Option(min=1, help="With --date: which pass of these hours; unless said the highest by night.")
]
StaleOption = Annotated[
    bool, typer.Option("--accept-stale", help="With --date: go on with elements more than 30 days away.")
]
ModeOption = Annotated[
    str | None, typer.Option(help="Source: this-work, standard-2017 or tiangong-2; by default the station's time.")
]
TrackOption = Annotated[
    Path | None,
    typer.Option(
        parser=named_path,
        help="CSV of the pass: utc_s or time_s, range_km, elevation_deg; measured losses as <term>_db.",
    ),
]
HighestOption = Annotated[
    float, typer.Option(help="Without --track and --date: greatest elevation of a circular orbit, degrees.")
]
LowestOption = Annotated[float, typer.Option(help="The pass begins and ends at this elevation, degrees.")]
AltitudeOption = Annotated[float, typer.Option(help="Without --track and --date: height of that orbit, km.")]
StepOption = Annotated[float, typer.Option(help="Without --track: seconds from moment to moment.")]
AirOption = Annotated[str, typer.Option(help="Which description of the air rules: fitted, or table.")]
AirLossOption = Annotated[float | None, typer.Option(help="Loss per air mass of the fitted one, dB.")]
ConstantOption = Annotated[float | None, typer.Option(help="Constant loss in place of the fitted one, dB.")]
JitterOption = Annotated[float | None, typer.Option(help="Pointing jitter about each axis, urad (rms).")]
FriedOption = Annotated[float | None, typer.Option(help="Turbulence: Fried's length towards the zenith, cm.")]
ExposureOption = Annotated[
    bool, typer.Option("--fixed-exposure", help="Tracking cameras keep one exposure: the loop is taken away.")
]
PassesOption = Annotated[int, typer.Option(min=1, help="So many such passes joined in one block.")]
ProofOption = Annotated[str, typer.Option(help="The proof of the secret length, as in `qanat rate`.")]
CorrectionOption = Annotated[float, typer.Option(help="Bits told by error correction over the Shannon limit.")]
OptimiseOption = Annotated[bool, typer.Option("--optimise", help="Look for the best source for this pass.")]
LiveOption = Annotated[
    bool, typer.Option("--live", help="Draw every click and let both ends distil the key (seconds to minutes).")
]
PaperOption = Annotated[
    bool, typer.Option("--paper", help="The paper's own passes: what is fitted, what follows (Fig. 3, tables).")
]
ModesOption = Annotated[
    bool, typer.Option("--source-modes", help="The satellite's eight lasers, its modes, its table of random numbers.")
]
OutOption = Annotated[
    Path | None, typer.Option(parser=named_path, help="Write the picture and the data behind it into this folder.")
]


class EndWith(Protocol):
    """Runs a command and exits with its status."""

    def __call__(self, command: Callable[[], int], /) -> NoReturn: ...


def add_pass_command(app: typer.Typer, end_with: EndWith) -> None:
    """Add the command; ``end_with`` runs it and tells its errors."""

    @app.command("pass")
    def one_pass(
        satellite: SatelliteOption = None,
        station: StationOption = None,
        date: DateOption = None,
        number: NumberOption = None,
        accept_stale: StaleOption = False,
        mode: ModeOption = None,
        track: TrackOption = None,
        max_elevation: HighestOption = 80.0,
        min_elevation: LowestOption = 5.0,
        altitude_km: AltitudeOption = 500.0,
        step_s: StepOption = 1.0,
        air: AirOption = "fitted",
        air_db: AirLossOption = None,
        constant_db: ConstantOption = None,
        jitter_urad: JitterOption = None,
        fried_cm: FriedOption = None,
        fixed_exposure: ExposureOption = False,
        passes: PassesOption = 1,
        proof: ProofOption = "hoeffding",
        f_ec: CorrectionOption = 1.1,
        optimise: OptimiseOption = False,
        live: LiveOption = False,
        seed: Annotated[int, typer.Option(min=0, help="Seed of --live.")] = 1,
        paper: PaperOption = False,
        source_modes: ModesOption = False,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")] = False,
        csv: Annotated[bool, typer.Option("--csv", help="Print the pass as CSV, a line per moment.")] = False,
        out: OutOption = None,
    ) -> None:
        """One pass of a satellite over a station: loss second by second, sifted bits, error rate, secret bits."""

        def command() -> int:
            from qanat.apps.cli.pass_modes import run_source_modes
            from qanat.apps.cli.pass_options import PassOptions
            from qanat.apps.cli.pass_source import PassSource
            from qanat.apps.cli.satellite_pass import run_paper, run_satellite_pass
            from qanat.ground.errors import RequestError

            orbit = (max_elevation, min_elevation, altitude_km, step_s)
            source = PassSource(satellite, station, track, date, number, accept_stale, *orbit)
            options = PassOptions(
                source=source,
                mode=mode,
                air=air,
                air_db=air_db,
                constant_db=constant_db,
                jitter_urad=jitter_urad,
                fried_cm=fried_cm,
                fixed_exposure=fixed_exposure,
                passes=passes,
                proof=proof,
                f_ec=f_ec,
                optimise=optimise,
                live_seed=seed if live else None,
            )
            if source_modes:
                if paper:
                    raise RequestError("--paper and --source-modes are two answers", remedy="leave one of them out")
                return run_source_modes(options, as_json=json, as_csv=csv, out=out)
            if paper:
                return run_paper(options, as_json=json, as_csv=csv, out=out)
            return run_satellite_pass(options, as_json=json, as_csv=csv, out=out)

        end_with(command)
