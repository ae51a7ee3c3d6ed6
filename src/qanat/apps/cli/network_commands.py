"""Commands of ``qanat network`` that make networks and convert them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from qanat.apps.cli.paths import named_path

SystemOption = Annotated[str, typer.Option(help="QKD system of links that name none, such as metro-40-i.")]


def add_network_commands(app: typer.Typer, end_with: Callable[[Callable[[], int]], NoReturn]) -> None:
    """Add ``build``, ``import`` and ``export``; ``end_with`` runs a command and exits with its status."""

    @app.command()
    def build(
        shape: Annotated[str, typer.Argument(help="line, ring, star, tree, grid or random-geometric.")],
        nodes: Annotated[int, typer.Option(help="Number of sites, up to 10,000.")],
        link_km: Annotated[
            float, typer.Option(help="Fibre of each link; of the longest in a random geometric.")
        ] = 50.0,
        system: SystemOption = "backbone-625",
        seed: Annotated[int, typer.Option(min=0, help="Of random-geometric: same seed, same network.")] = 1,
    ) -> None:
        """Print the file of a network in a regular or random shape."""

        def command() -> int:
            from qanat.apps.cli.network_files import run_build

            return run_build(shape, num_nodes=nodes, link_km=link_km, system=system, seed=seed)

        end_with(command)

    @app.command("import")
    def import_file(
        file: Annotated[
            Path,
            typer.Argument(parser=named_path, help=".graphml, or .json of SeQUeNCe or of NetworkX (node-link)."),
        ],
        system: SystemOption = "backbone-625",
        applications_at_each_user: Annotated[
            bool, typer.Option("--applications-at-each-user", help="Put an application at each site of a user.")
        ] = False,
    ) -> None:
        """Print another program's network as a network file; what it does not say is filled in and marked so."""

        def command() -> int:
            from qanat.apps.cli.network_files import run_import

            return run_import(file, system=system, with_applications=applications_at_each_user)

        end_with(command)

    @app.command()
    def export(
        network: Annotated[str, typer.Argument(help="A network file, or the name of a packaged network.")],
        file: Annotated[
            Path,
            typer.Argument(parser=named_path, help="Ends in .geojson, .graphml, .json (SeQUeNCe) or .yaml."),
        ],
        second_backbone: Annotated[
            bool, typer.Option("--second-backbone", help="Close the backbone to a ring, as the paper's outlook has it.")
        ] = False,
    ) -> None:
        """Write a network for other programs, or as a network file to be worked on."""

        def command() -> int:
            from qanat.apps.cli.network_files import run_export

            return run_export(network, file, second_backbone=second_backbone)

        end_with(command)
