"""The command `collect`; added to the others in ``main``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qanat.apps.cli.service_commands import (
    AsOption,
    CipherOption,
    DataOption,
    DirectoryOption,
    JsonOption,
    PadWaitOption,
)
from qanat.apps.cli.service_options import CIPHERS, Sealing, Who, seconds

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith


def add_collect_command(app: typer.Typer, end_with: EndWith) -> None:
    """Add the command; ``end_with`` runs it and tells its errors."""

    @app.command()
    def collect(
        centre: Annotated[str | None, typer.Argument(help="The contact that runs `qanat receive`.")] = None,
        sensor: Annotated[
            str, typer.Option(metavar="NAME", help="What the readings are called at the centre.")
        ] = "sensor",
        run: Annotated[
            str | None, typer.Option(metavar="COMMAND", help="Is run each time; what it prints is the reading.")
        ] = None,
        every_s: Annotated[
            float, typer.Option("--every", parser=seconds(0.1), metavar="SECONDS", help="The period.")
        ] = 60.0,
        count: Annotated[
            int | None, typer.Option(min=0, help="End after so many readings; 0: only deliver what waits.")
        ] = None,
        name: AsOption = None,
        data: DataOption = None,
        directory: DirectoryOption = None,
        cipher: CipherOption = CIPHERS[0],
        pad_wait_s: PadWaitOption = 0.0,
        json: JsonOption = False,
    ) -> None:
        """Send a sensor's readings to a centre, periodically; they wait while it is away. Alone: print what came."""

        def command() -> int:
            from qanat.apps.cli.collect import Plan, run_collect, run_list

            who = Who(name, data, directory)
            if centre is None:
                return run_list(who, as_json=json)
            plan = Plan(sensor, run, every_s, count)
            return run_collect(centre, plan, who=who, sealing=Sealing(cipher, 60.0, pad_wait_s), as_json=json)

        end_with(command)
