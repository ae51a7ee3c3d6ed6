"""Commands about key stores: the life of what they hold, and their end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from qanat.apps.cli.paths import named_path


class RunsByDefault(TyperGroup):
    """A group whose command ``run`` is meant when none of its commands is named first."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def add_store_commands(
    app: typer.Typer, node_app: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]
) -> None:
    """Add the commands to ``app``; ``end_with`` runs one and exits with its status."""

    @node_app.command()
    def zeroize(
        network: Annotated[
            str | None, typer.Argument(help="A network file, or the name of a packaged network; not with --config.")
        ] = None,
        sites: Annotated[
            list[str] | None, typer.Argument(help="Sites to zeroize; all that have a store, when none is named.")
        ] = None,
        config: Annotated[
            Path | None,
            typer.Option(
                parser=named_path,
                metavar="FILE",
                help="A deployment file, which names network and data folder, and its site where none is named.",
            ),
        ] = None,
        data: Annotated[
            Path | None, typer.Option(parser=named_path, help="The data folder of `qanat up` or `qanat node`.")
        ] = None,
        token_key: Annotated[
            bool, typer.Option("--token-key", help="Have the token destroy their master key, too.")
        ] = False,
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        json: Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")] = False,
    ) -> None:
        """Destroy all keys of sites that do not run, for good: no row opens any more, whoever has the master key."""

        def command() -> int:
            from qanat.apps.cli.zeroize import ZeroizeWish, run_zeroize

            names, wish = sites or [], ZeroizeWish(yes=yes, with_token_key=token_key, as_json=json)
            if config is not None and network is not None:  # the first of the sites stands where a network would
                return run_zeroize(None, [network, *names], config=config, data=data, wish=wish)
            return run_zeroize(network, names, config=config, data=data, wish=wish)

        end_with(command)

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
