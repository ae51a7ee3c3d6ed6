"""Commands about key stores: the life of what they hold, and their end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from qanat.apps.cli.paths import named_path


def add_store_commands(app: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]) -> None:
    """Add the commands to ``app``; ``end_with`` runs one and exits with its status."""

    @app.command("life-cycle")
    def life_cycle(
        out: Annotated[
            Path | None, typer.Option(parser=named_path, help="Draw the figure into this file, .svg.")
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    ) -> None:
        """Tell which stages a key and a block go through, from the table that the stores work by."""

        def command() -> int:
            from qanat.apps.cli.life_cycle import run_life_cycle

            return run_life_cycle(out=out, as_json=json)

        end_with(command)
