"""The command ``qanat acceptance`` with its options; added to the others in ``main``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanat.apps.cli.paths import named_path
from qanat.apps.cli.service_options import UP_NETWORK
from qanat.apps.cli.up_options import SleepAfterOption, sleep_after_s

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith


def add_acceptance_command(app: typer.Typer, end_with: EndWith) -> None:
    """Add the command; ``end_with`` runs it and tells its errors."""

    @app.command()
    def acceptance(
        network: Annotated[str, typer.Argument(help="A network file, or the name of a packaged network.")] = UP_NETWORK,
        tests: Annotated[int, typer.Option(min=1, help="Service tests, all kinds in turn.")] = 2000,
        users: Annotated[
            int | None, typer.Option(min=2, help="Users, drawn from all places alike; by default all.")
        ] = None,
        seed: Annotated[int, typer.Option(min=0, help="Who is tested with whom: same seed, same tests.")] = 1,
        faults: Annotated[
            bool, typer.Option("--faults", help="Break things on purpose too, and check that the causes are found.")
        ] = False,
        data: Annotated[
            Path | None,
            typer.Option(
                parser=named_path, help="Data folder of the network, where it may be up already; else one for the run."
            ),
        ] = None,
        at_once: Annotated[int, typer.Option(min=1, max=64, help="Tests at a time at most.")] = 12,
        least_success: Annotated[
            float, typer.Option(min=0, max=100, metavar="PERCENT", help="With less success the status is 1.")
        ] = 99.0,
        sleep_after: SleepAfterOption = 10.0,
        out: Annotated[
            Path | None, typer.Option(parser=named_path, help="Folder for result.json and tests.csv.")
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")] = False,
    ) -> None:
        """Test all services between users of a network, and print a table of success and of causes of failure.

        Where no network is up on --data, it is brought up for the run.
        """

        def command() -> int:
            from qanat.apps.cli.acceptance import AcceptanceOptions, run_acceptance

            options = AcceptanceOptions(
                network=network,
                num_tests=tests,
                num_users=users,
                seed=seed,
                with_faults=faults,
                data=data,
                at_once=at_once,
                least_success=least_success / 100,
                sleep_after_s=sleep_after_s(sleep_after),
                out=out,
            )
            return run_acceptance(options, as_json=json)

        end_with(command)
