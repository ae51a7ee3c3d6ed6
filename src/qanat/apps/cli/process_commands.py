"""The commands that run one process of a network, with their options; added to the others in ``main``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qanat.apps.cli.entropy_options import EntropyOption, MinEntropyOption, entropy_source
from qanat.apps.cli.paths import named_path
from qanat.ground.errors import ConfigurationError

if TYPE_CHECKING:
    from qanat.apps.cli.light_commands import EndWith

NetworkOption = Annotated[
    str | None, typer.Argument(metavar="[NETWORK]", help="A network file, or the name of a packaged network.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        parser=named_path,
        metavar="FILE",
        help="A deployment file: network, data folder, and where the processes listen. In place of NETWORK.",
    ),
]
DataOption = Annotated[
    Path | None, typer.Option("--data", parser=named_path, help="Folder of stores, certificates and addresses.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]


def add_process_commands(app: typer.Typer, node_app: typer.Typer, end_with: EndWith) -> None:
    """Add the commands; ``end_with`` runs one and tells its errors. ``node_app``: the group of ``qanat node``."""
    _add_node(node_app, end_with)
    _add_twin(app, end_with)
    _add_controller(app, end_with)
    _add_device_emulator(app, end_with)


def _add_node(node_app: typer.Typer, end_with: EndWith) -> None:
    @node_app.command("run")
    def node(
        network: NetworkOption = None,
        site: Annotated[
            str | None, typer.Argument(metavar="[SITE]", help="The site to run, beside `qanat up --apart SITE`.")
        ] = None,
        config: ConfigOption = None,
        site_option: Annotated[
            str | None, typer.Option("--site", help="With --config: the site to run, if the file does not name it.")
        ] = None,
        data: DataOption = None,
        port: Annotated[
            int,
            typer.Option(min=0, max=65_535, help="Port of the door, if the site has applications; 0: any free port."),
        ] = 0,
        wait_s: Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for `qanat up`.")] = 60.0,
        json: JsonOption = False,
    ) -> None:
        """Run one site in a process of its own: its key manager, its store, its door (`run` may be left out).

        With --config it stands for itself, beside `qanat twin`, `qanat controller` and other sites; with NETWORK SITE
        it belongs to a `qanat up --apart SITE`, which has its modules.
        """

        def command() -> int:
            if config is not None and network is None and site is None:
                from qanat.apps.cli.processes import run_node_alone

                return run_node_alone(config, site=site_option, data=data, port=port, as_json=json)
            if config is not None or site_option is not None or network is None or site is None:
                raise ConfigurationError(
                    "it is not clear which site is to run, and how",
                    remedy="`qanat node --config FILE [--site SITE]` by itself, `qanat node NETWORK SITE` beside `up`",
                )
            from qanat.apps.cli.node import run_node

            return run_node(network, site, data=data, port=port, wait_s=wait_s, as_json=json)

        end_with(command)


def _add_twin(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def twin(
        link: Annotated[str, typer.Option(help="The link of which both ends are twinned.")],
        network: NetworkOption = None,
        config: ConfigOption = None,
        data: DataOption = None,
        entropy: EntropyOption = None,
        min_entropy: MinEntropyOption = None,
        json: JsonOption = False,
    ) -> None:
        """Run the twin of one link: both its sites reach it over mutual TLS as if it were their QKD module."""

        def command() -> int:
            from qanat.apps.cli.processes import run_twin

            source = entropy_source(entropy, min_entropy)
            return run_twin(network, link=link, config=config, data=data, source=source, as_json=json)

        end_with(command)


def _add_controller(app: typer.Typer, end_with: EndWith) -> None:
    @app.command()
    def controller(
        network: NetworkOption = None,
        config: ConfigOption = None,
        data: DataOption = None,
        standby: Annotated[
            bool, typer.Option("--standby", help="Run the second one, which takes over when the first is silent.")
        ] = False,
        forecasts: Annotated[
            Path | None,
            typer.Option(
                parser=named_path,
                metavar="FILE",
                help="What is foretold of links; else forecasts.json in the folder, if it is there. It is followed.",
            ),
        ] = None,
        json: JsonOption = False,
    ) -> None:
        """Run a network's controller, which finds routes and orders key; it never sees any."""

        def command() -> int:
            from qanat.apps.cli.processes import run_controller

            return run_controller(network, config=config, data=data, standby=standby, forecasts=forecasts, as_json=json)

        end_with(command)


def _add_device_emulator(app: typer.Typer, end_with: EndWith) -> None:
    @app.command("device-emulator")
    def device_emulator(
        link: Annotated[str, typer.Option(help="A link whose modules are devices behind ETSI 014 doors.")],
        network: NetworkOption = None,
        config: ConfigOption = None,
        data: DataOption = None,
        rate_bits_per_s: Annotated[
            float, typer.Option("--rate-bits-per-s", min=1, help="What the emulated devices make.")
        ] = 1e6,
        json: JsonOption = False,
    ) -> None:
        """Stand in for the two devices of a link, to rehearse with: the doors, certificates, and faults on command."""

        def command() -> int:
            from qanat.apps.cli.device_emulator import run_device_emulator

            return run_device_emulator(
                network, link=link, config=config, data=data, rate_bits_per_s=rate_bits_per_s, as_json=json
            )

        end_with(command)
