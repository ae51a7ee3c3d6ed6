"""Commands about master keys in hardware modules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from qanat.apps.cli.paths import named_path

UriArgument = Annotated[
    str,
    typer.Argument(help="PKCS #11 URI: 'pkcs11:token=TOKEN;object=KEY?module-path=/...so&pin-source=file:/...'"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]


def add_master_key_commands(node_app: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]) -> None:
    """Add the group ``master-key``; ``end_with`` runs a command and exits with its status."""
    master_key_app = typer.Typer(help="Master keys in hardware modules (PKCS #11).", no_args_is_help=True)
    node_app.add_typer(master_key_app, name="master-key")

    @master_key_app.command()
    def make(uri: UriArgument, json: JsonOption = False) -> None:
        """Have a token make a master key, which never leaves it."""

        def command() -> int:
            from qanat.apps.cli.master_key import run_make

            return run_make(uri, as_json=json)

        end_with(command)

    @master_key_app.command()
    def move(
        uri: UriArgument,
        network: Annotated[
            str | None, typer.Argument(help="A network file, or the name of a packaged network; not with --config.")
        ] = None,
        sites: Annotated[list[str] | None, typer.Argument(help="Sites, which do not run.")] = None,
        config: Annotated[
            Path | None,
            typer.Option(parser=named_path, metavar="FILE", help="A deployment file, which names network and folder."),
        ] = None,
        data: Annotated[
            Path | None, typer.Option(parser=named_path, help="The data folder of `qanat up` or `qanat node`.")
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Bring stores, from the master key that they have, under one that is in a token; keys in stock stay."""

        def command() -> int:
            from qanat.apps.cli.master_key import run_move

            names = sites or []
            if config is not None and network is not None:  # the first of the sites stands where a network would
                return run_move(uri, None, [network, *names], config=config, data=data, as_json=json)
            return run_move(uri, network, names, config=config, data=data, as_json=json)

        end_with(command)
