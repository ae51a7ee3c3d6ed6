"""The commands on light, ``qanat fibre`` and ``qanat system``, with their options; added to the others in ``main``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NoReturn, Protocol

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]


class EndWith(Protocol):
    """Runs a command and exits with its status."""

    def __call__(self, command: Callable[[], int], /) -> NoReturn: ...


def add_light_commands(app: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and tells its errors."""
    _add_fibre(app, end_with)
    _add_system(app, end_with)


def _add_fibre(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def fibre(
        system: Annotated[str, typer.Option(help="A QKD system, such as backbone-625.")],
        loss_db: Annotated[float, typer.Option(help="Loss of the fibre, without multiplexers and switch, dB.")],
        times: Annotated[float, typer.Option(help="How many pairs give so many times the rate of one?")] = 5.0,
        pairs: Annotated[int | None, typer.Option(help="Rows of the table; by default what --times takes.")] = None,
        insertion_db: Annotated[float, typer.Option(help="Loss of the multiplexers of both ends together, dB.")] = 0.99,
        switch: Annotated[bool, typer.Option("--switch", help="Tell what an all-pass switch on the way does.")] = False,
        switch_db: Annotated[float, typer.Option(help="Insertion loss of that switch, dB.")] = 1.0,
        dwell_s: Annotated[float | None, typer.Option(help="Seconds from one turn of the switch to the next.")] = None,
        classical_dbm: Annotated[
            float | None, typer.Option(help="Data on the same fibre: launch power of each channel, dBm.")
        ] = None,
        classical_channels: Annotated[int, typer.Option(help="Data channels in each direction used.")] = 1,
        direction: Annotated[
            str, typer.Option(help="Of the data: co (with the quantum light), counter, or both.")
        ] = "co",
        length_km: Annotated[
            float | None, typer.Option(help="Length of the fibre; by default its loss over 0.25 dB/km.")
        ] = None,
        filter_nm: Annotated[
            float | None, typer.Option(help="Band of the quantum receiver; by default its record's.")
        ] = None,
        filter_ghz: Annotated[float | None, typer.Option(help="The same in GHz.")] = None,
        raman_per_nm_km: Annotated[float, typer.Option(help="Raman coefficient, per nm of band and km.")] = 3e-9,
        isolation_db: Annotated[float, typer.Option(help="By how much filters weaken the data channels, dB.")] = 100.0,
        json: JsonOption = False,
    ) -> None:
        """Tell what else on a fibre costs: several pairs, data channels (Raman light), the clock, a switch."""

        def command() -> int:
            from qanat.apps.cli.fibre import run_fibre
            from qanat.apps.cli.fibre_findings import FibreOptions

            options = FibreOptions(
                system=system,
                loss_db=loss_db,
                times=times,
                pairs=pairs,
                insertion_db=insertion_db,
                switch=switch,
                switch_db=switch_db,
                dwell_s=dwell_s,
                classical_dbm=classical_dbm,
                classical_channels=classical_channels,
                direction=direction,
                length_km=length_km,
                filter_nm=filter_nm,
                filter_ghz=filter_ghz,
                raman_per_nm_km=raman_per_nm_km,
                isolation_db=isolation_db,
            )
            return run_fibre(options, as_json=json)

        end_with(command)


def _add_system(app: typer.Typer, end_with: EndWith) -> None:
    system_app = typer.Typer(help="Look at the QKD systems and their records.", no_args_is_help=True)
    app.add_typer(system_app, name="system")

    @system_app.command("list")
    def list_systems(json: JsonOption = False) -> None:
        """List the QKD systems with what each gives."""

        def command() -> int:
            from qanat.apps.cli.system import run_list

            return run_list(as_json=json)

        end_with(command)

    @system_app.command("show")
    def show_system(
        name: Annotated[str, typer.Argument(help="The system's name.")],
        json: JsonOption = False,
    ) -> None:
        """Print a record: optics by component with running totals, detectors, clock, where each figure is from."""

        def command() -> int:
            from qanat.apps.cli.system import run_show

            return run_show(name, as_json=json)

        end_with(command)
