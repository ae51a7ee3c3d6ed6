"""``qanat``: the command line. Heavy imports stand inside the commands, so that ``qanat --help`` answers at once."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, NoReturn

import typer

from qanat import __version__
from qanat.adapters.machine_faults import machine_fault
from qanat.apps.cli.acceptance_commands import add_acceptance_command
from qanat.apps.cli.collect_commands import add_collect_command
from qanat.apps.cli.distil_commands import add_distil_commands
from qanat.apps.cli.entropy_options import EntropyOption, MinEntropyOption, entropy_source
from qanat.apps.cli.faults import tell_fault
from qanat.apps.cli.guard_commands import HostsOption, MakesByDefault, add_audit_commands, add_certificate_commands
from qanat.apps.cli.hook_commands import add_hook_commands
from qanat.apps.cli.light_commands import add_light_commands
from qanat.apps.cli.link_commands import add_link_commands
from qanat.apps.cli.master_key_commands import add_master_key_commands
from qanat.apps.cli.network_commands import add_network_commands
from qanat.apps.cli.outputs import lead_nowhere, lose_output, name_output, open_closed, warn
from qanat.apps.cli.panels import put_into_panels
from qanat.apps.cli.pass_commands import add_pass_command
from qanat.apps.cli.passes_commands import add_passes_command
from qanat.apps.cli.paths import named_path
from qanat.apps.cli.plan_commands import add_plan_commands
from qanat.apps.cli.process_commands import add_process_commands
from qanat.apps.cli.service_commands import add_service_commands
from qanat.apps.cli.service_options import UP_NETWORK
from qanat.apps.cli.simulate_commands import add_simulate_command
from qanat.apps.cli.store_commands import RunsByDefault, add_store_commands
from qanat.apps.cli.tunnel_commands import add_tunnel_command
from qanat.apps.cli.up_options import SleepAfterOption, sleep_after_s
from qanat.ground.errors import (
    QanatError,
)

app = typer.Typer(
    name="qanat",
    help="The software of a whole quantum key distribution network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

network_app = typer.Typer(help="Make networks, convert them, look at them before they run.", no_args_is_help=True)
app.add_typer(network_app, name="network")

pki_app = typer.Typer(
    help="Certificates of a network: make them (`qanat pki NETWORK --out FOLDER`), renew them, take them back.",
    cls=MakesByDefault,
    no_args_is_help=True,
)
app.add_typer(pki_app, name="pki")

node_app = typer.Typer(
    help="Run one site in a process of its own (qanat node NETWORK SITE), or end what its store holds.",
    no_args_is_help=True,
    cls=RunsByDefault,
)
app.add_typer(node_app, name="node")

NetworkArgument = Annotated[str, typer.Argument(help="A network file, or the name of a packaged network.")]


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]

PassLightOption = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1.0,
        help="Of each satellite pass use so much of its light, the part nearest to the station; the output says so.",
    ),
]

DEMO_NETWORK = "urumqi-shanghai"
"""Two stations, a satellite, the way to the backbone and the backbone: a demonstration sets all links to work."""


SIGNALLED = 128
"""And the number of the signal: the status of a program that was ended by one, as shells have it."""
END_S = 2.0
"""So long a process takes at most to end once its command is over; who asks it to stop later wants it gone."""
_process = SimpleNamespace(is_own=False)


def run() -> None:
    """Entry point."""
    _process.is_own = True
    open_closed()
    name_output()
    status: int | str | None = 0
    try:
        app()
    except SystemExit as end:
        status = end.code
    except OSError as fault:  # of the help or the version: commands tell their own
        status = _not_printed(fault)
    try:
        sys.stdout.flush()
    except OSError as fault:
        lose_output()
        status = status or _not_printed(fault)
    sys.exit(status)


def _not_printed(fault: OSError) -> int:
    """Return the status of what could not be printed, which is told unless nobody reads any more."""
    return 1 if isinstance(fault, BrokenPipeError) else tell_fault(machine_fault(fault))


def _as_interrupt(_number: int, _frame: object) -> None:
    """End as Ctrl-C does: with everything cleaned up."""
    signal.raise_signal(signal.SIGINT)


def _let_end() -> None:
    """Let Ctrl-C break into nothing any more: the command is over, and what is left is to say so. In a process that is
    not this program's own nothing changes."""
    if not _process.is_own:
        return
    since_s = time.monotonic()

    def ended(number: int, _frame: object) -> None:
        if time.monotonic() - since_s > END_S:  # as where nobody takes what is still to be printed
            os._exit(SIGNALLED + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ended)


def _end_with(command: Callable[[], int], /) -> NoReturn:
    """Run a command and exit with its status; an error of ours becomes a line that says whose fault and what to do.

    The command's own imports run here too, so that a stop in the first second is told like any other.
    """
    # Linear algebra on several threads waits for the slowest of them, which beside other work is seven times as slow.
    for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(threads, "1")
    signal.signal(signal.SIGTERM, _as_interrupt)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a script
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A core would hold keys. With 0 the kernel writes no file, but still feeds a collector (a pipe in core_pattern);
    # with 1 it does neither, and what this process starts inherits it (core(5); fs/coredump.c of Linux).
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
    try:
        try:
            status = command()
        finally:
            _let_end()
    except QanatError as fault:
        status = tell_fault(fault)
    except KeyboardInterrupt:
        warn("stopped by you; nothing half-sent counts as sent, and no key is used twice")
        status = SIGNALLED + signal.SIGINT
    except BrokenPipeError:  # who read our output has seen enough
        lead_nowhere()
        status = 1
    except OSError as fault:
        status = tell_fault(machine_fault(fault))
    raise typer.Exit(status)


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """The software of a whole quantum key distribution network."""
    if version:
        typer.echo(f"qanat {__version__}")
        raise typer.Exit


@app.command()
def demo(
    network: NetworkArgument = DEMO_NETWORK,
    file: Annotated[
        Path | None, typer.Option(parser=named_path, help="The file to send (default: 10 MB made for the run).")
    ] = None,
    out: Annotated[Path, typer.Option(parser=named_path, help="Folder of the report.")] = Path("qanat-report"),
    entropy: EntropyOption = None,
    min_entropy: MinEntropyOption = None,
    pass_light: PassLightOption = 1.0,
    json: JsonOption = False,
) -> None:
    """Bring a network up, make keys from photons, send a file under them, prove it, write a report."""

    def command() -> int:
        from qanat.apps.cli.demo import run_demo

        source = entropy_source(entropy, min_entropy)
        return run_demo(network, file=file, out=out, entropy_source=source, as_json=json, light_share=pass_light)

    _end_with(command)


@app.command()
def up(
    network: NetworkArgument = UP_NETWORK,
    data: Annotated[
        Path | None,
        typer.Option(
            parser=named_path, help="Folder of stores and certificates; by default qanat/NETWORK in the XDG data home."
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The doors take the ports above this one; 0: any free ports.")
    ] = 8800,
    apart: Annotated[
        list[str] | None, typer.Option(metavar="SITE", help="A site that runs apart, by `qanat node`; repeatable.")
    ] = None,
    entropy: EntropyOption = None,
    min_entropy: MinEntropyOption = None,
    passes_every_s: Annotated[
        float, typer.Option(min=0.0, help="Seconds between two satellite passes; the hours between are left out.")
    ] = 300.0,
    pass_light: PassLightOption = 1.0,
    sleep_after: SleepAfterOption = 10.0,
    json: JsonOption = False,
) -> None:
    """Bring a network up and keep it running: key managers with their ETSI 014 doors, twins making key on demand."""

    def command() -> int:
        from qanat.apps.cli.up import run_up

        source = entropy_source(entropy, min_entropy)
        return run_up(
            network,
            data=data,
            port=port,
            apart=apart or [],
            entropy_source=source,
            as_json=json,
            passes_every_s=passes_every_s,
            light_share=pass_light,
            sleep_after_s=sleep_after_s(sleep_after),
        )

    _end_with(command)


@pki_app.command("make")
def pki(
    *,
    network: Annotated[
        str | None, typer.Argument(help="A network file, or the name of a packaged network; or --config.")
    ] = None,
    out: Annotated[
        Path, typer.Option(parser=named_path, help="Folder to write to; one that has a PKI gets what is missing.")
    ],
    reserve_days: Annotated[float, typer.Option(min=0.1, help="Days of authentication tags per link.")] = 10.0,
    new_key: Annotated[
        list[str] | None,
        typer.Option(metavar="LINK", help="A link that gets an initial key anew, its stores being lost; repeatable."),
    ] = None,
    config: HostsOption = None,
    json: JsonOption = False,
) -> None:
    """Make certificates of all nodes and applications, and the initial authentication key of every link (the word
    `make` may be left out)."""

    def command() -> int:
        from qanat.apps.cli.pki import run_pki

        return run_pki(network, config=config, out=out, reserve_days=reserve_days, new_keys=new_key or [], as_json=json)

    _end_with(command)


@app.command()
def doctor(
    data: Annotated[
        Path | None, typer.Option(parser=named_path, help="Data folder of a running network, to ask its doors.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            parser=named_path,
            metavar="FILE",
            help="A deployment file: certificates, ports, stores of this host are looked at, and who else answers.",
        ),
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", help="With --config: the site of this host, where its key is not here yet.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Tell what is installed, what this machine can do, and which doors answer."""

    def command() -> int:
        from qanat.apps.cli.doctor import run_doctor

        return run_doctor(data=data, config=config, site=site, as_json=json)

    _end_with(command)


@app.command()
def openapi(
    door: Annotated[str, typer.Argument(help="Which door: etsi014.")] = "etsi014",
) -> None:
    """Print the machine-readable schema of a door (OpenAPI), as each door serves it at /openapi.json."""

    def command() -> int:
        from qanat.apps.cli.openapi import run_openapi

        return run_openapi(door)

    _end_with(command)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks to run; all when none is named.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure speed against goals, with a reference in the same run."""

    def command() -> int:
        from qanat.apps.cli.bench import run_bench

        return run_bench(names or [], as_json=json)

    _end_with(command)


@network_app.command()
def check(
    network: NetworkArgument,
    json: JsonOption = False,
) -> None:
    """Check a network and tell what to expect: rates of every link, routes, weak points."""

    def command() -> int:
        from qanat.apps.cli.network import run_check

        return run_check(network, as_json=json)

    _end_with(command)


@network_app.command()
def show(
    network: NetworkArgument,
    out: Annotated[
        Path | None, typer.Option(parser=named_path, help="Draw the map into this file, .svg or .png.")
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="HEADING", help="Only what is counted under a heading, such as jinan.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Draw a network on a map, or print its sites and links."""

    def command() -> int:
        from qanat.apps.cli.network import run_show

        return run_show(network, out=out, only=only, as_json=json)

    _end_with(command)


add_link_commands(app, _end_with)
add_light_commands(app, _end_with)
add_passes_command(app, _end_with)
add_network_commands(network_app, _end_with)
add_pass_command(app, _end_with)
add_plan_commands(app, _end_with)
add_audit_commands(app, _end_with)
add_certificate_commands(pki_app, _end_with)
add_distil_commands(app, _end_with)
add_process_commands(app, node_app, _end_with)
add_service_commands(app, _end_with)
add_simulate_command(app, _end_with)
add_store_commands(app, node_app, _end_with)
add_acceptance_command(app, _end_with)
add_collect_command(app, _end_with)
add_tunnel_command(app, _end_with)
add_hook_commands(app, _end_with)
add_master_key_commands(node_app, _end_with)
put_into_panels(app)


if __name__ == "__main__":
    run()
