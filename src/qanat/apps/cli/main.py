"""``qanat``: the command line. Heavy imports stand inside the commands, so that ``qanat --help`` answers at once."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from qanat import __version__
from qanat.ground.errors import (
    ConfigurationError,
    KeyManagementError,
    LinkFailed,
    PeerProtocolError,
    QanatError,
    QuantumLayerError,
    RequestError,
)

app = typer.Typer(
    name="qanat",
    help="The software of a whole quantum key distribution network.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

network_app = typer.Typer(help="Look at a network before it runs.", no_args_is_help=True)
app.add_typer(network_app, name="network")

NetworkArgument = Annotated[str, typer.Argument(help="A network file, or the name of a packaged network.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object to standard output.")]

DEFAULT_NETWORK = "beijing-shanghai"

WHOSE_FAULT = {
    ConfigurationError: "configuration",
    RequestError: "request",
    PeerProtocolError: "peer or line",
    QuantumLayerError: "quantum layer",
    LinkFailed: "quantum layer",
    KeyManagementError: "key management",
}


def run() -> None:
    """Entry point."""
    app()


def _as_interrupt(_number: int, _frame: object) -> None:
    """End as Ctrl-C does: with everything cleaned up."""
    signal.raise_signal(signal.SIGINT)


def _end_with(command: Callable[..., int], /, *arguments: Any, **options: Any) -> NoReturn:
    """Run a command and exit with its status; an error of ours becomes a line that says whose fault and what to do."""
    signal.signal(signal.SIGTERM, _as_interrupt)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file would hold keys
    try:
        status = command(*arguments, **options)
    except QanatError as fault:
        whose = next((words for kind, words in WHOSE_FAULT.items() if isinstance(fault, kind)), "qanat")
        typer.secho(f"error ({whose}): {fault.message}", err=True, fg="red")
        if fault.remedy:
            typer.secho(f"  what to do: {fault.remedy}", err=True)
        status = 2
    except KeyboardInterrupt:
        typer.secho("stopped by you; nothing half-sent counts as sent, and no key is used twice", err=True)
        status = 130
    except OSError as fault:
        typer.secho(f"error (machine): {fault}", err=True, fg="red")
        status = 2
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
    network: NetworkArgument = DEFAULT_NETWORK,
    file: Annotated[Path | None, typer.Option(help="The file to send (default: 10 MB made for the run).")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("qanat-report"),
    json: JsonOption = False,
) -> None:
    """Bring a network up, make keys from photons, send a file under them, prove it, write a report."""
    from qanat.apps.cli.demo import run_demo

    _end_with(run_demo, network, file=file, out=out, as_json=json)


@app.command()
def up(
    network: NetworkArgument = DEFAULT_NETWORK,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of stores and certificates; by default qanat/NETWORK in the XDG data home."),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_535, help="The doors take the ports above this one; 0: any free ports.")
    ] = 8800,
    json: JsonOption = False,
) -> None:
    """Bring a network up and keep it running: key managers with their ETSI 014 doors, twins making key on demand."""
    from qanat.apps.cli.up import run_up

    _end_with(run_up, network, data=data, port=port, as_json=json)


@app.command()
def pki(
    network: NetworkArgument,
    out: Annotated[Path, typer.Option(help="Folder to write to; must not exist or be empty.")],
    reserve_days: Annotated[float, typer.Option(min=0.1, help="Days of authentication tags per link.")] = 10.0,
    json: JsonOption = False,
) -> None:
    """Make certificates of all nodes and applications, and the initial authentication key of every link."""
    from qanat.apps.cli.pki import run_pki

    _end_with(run_pki, network, out=out, reserve_days=reserve_days, as_json=json)


@app.command()
def doctor(
    data: Annotated[Path | None, typer.Option(help="Data folder of a running network, to ask its doors.")] = None,
    json: JsonOption = False,
) -> None:
    """Tell what is installed, what this machine can do, and which doors answer."""
    from qanat.apps.cli.doctor import run_doctor

    _end_with(run_doctor, data=data, as_json=json)


@app.command()
def rate(
    system: Annotated[str, typer.Option(help="A QKD system, such as backbone-625.")],
    loss_db: Annotated[str, typer.Option(help="Losses of the link in dB, commas between: 10.3,16.0,20.5.")],
    block_bits: Annotated[int, typer.Option(help="Verified bits per amplification block.")] = 100_000_000,
    proof: Annotated[
        list[str] | None,
        typer.Option(help="Only these proofs (repeat the option); the first one gives the secret rate."),
    ] = None,
    f_ec: Annotated[float, typer.Option(help="Bits told by error correction over the Shannon limit.")] = 1.1,
    json: JsonOption = False,
) -> None:
    """Tell what a link gives at a loss: sifted rate, QBER and the secret rate by every proof."""
    from qanat.apps.cli.rate import run_rate

    _end_with(run_rate, system, losses=loss_db, block_bits=block_bits, proofs=proof or [], f_ec=f_ec, as_json=json)


@app.command()
def bench(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks to run; all when none is named.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure speed against goals, with a reference in the same run."""
    from qanat.apps.cli.bench import run_bench

    _end_with(run_bench, names or [], as_json=json)


@network_app.command()
def check(
    network: NetworkArgument,
    json: JsonOption = False,
) -> None:
    """Check a network and tell what to expect: rates of every link, routes, weak points."""
    from qanat.apps.cli.network import run_check

    _end_with(run_check, network, as_json=json)


@network_app.command()
def show(
    network: NetworkArgument,
    out: Annotated[Path | None, typer.Option(help="Draw the map into this file, .svg or .png.")] = None,
    json: JsonOption = False,
) -> None:
    """Draw a network on a map, or print its sites and links."""
    from qanat.apps.cli.network import run_show

    _end_with(run_show, network, out=out, as_json=json)


if __name__ == "__main__":
    run()
