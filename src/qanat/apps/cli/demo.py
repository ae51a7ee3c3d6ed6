"""``qanat demo``: shows a demonstration while it runs, then its tables, its report and its JSON."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.markup import escape

from qanat.adapters.files import write_whole
from qanat.adapters.machine_faults import machine_fault
from qanat.apps.cli.presentation import RunView
from qanat.apps.demo import demonstrate, steps_of
from qanat.apps.networks import load_network
from qanat.apps.report import DemoResult, render_report
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.events import EventKind
from qanat.ground.network import Network
from qanat.ground.units import format_size

REPORT_NAME = "report.html"


def run_demo(name: str, *, file: Path | None, out: Path, as_json: bool) -> int:
    """Run the demonstration; returns 0 only if all that it set out to prove held."""
    network = load_network(name)
    _check_correspondents(network, name)
    if file is not None and not file.is_file():
        what = "is no plain file" if file.exists() else "does not exist"
        raise ConfigurationError(f"{file} {what}", remedy="name the file to send with --file")
    report = out / REPORT_NAME
    with report_folder(out):
        with scratch_folder() as folder, RunView() as view:
            result = asyncio.run(demonstrate(network, folder, file=file, view=view))
        _show(view, result)
        write_whole(report, render_report(result), elsewhere="name another folder with --out")
    view.say(
        f"started {format_utc(result.started_utc_s)}, took {result.duration_s:.1f} s; "
        f"report: [bold]{escape(str(report))}[/]"
    )
    if as_json:
        print(json.dumps(demo_record(result, report), indent=2))
    return 0 if result.all_held else 1


@contextmanager
def report_folder(folder: Path) -> Iterator[None]:
    """Make the report's folder before the run, so that no run is in vain; raises ConfigurationError.

    What was made here is removed again when the run fails.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        _remove_empty(made)
        raise ConfigurationError(
            f"no report can be written to {folder}: {fault.strerror}", remedy="name another folder with --out"
        ) from None
    try:
        yield
    except BaseException:
        _remove_empty(made)
        raise


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Lend a folder for the run; raises MachineFault, about the file or the folder, when the machine gives no room."""
    elsewhere = "set TMPDIR to a folder on another disk"
    try:
        with tempfile.TemporaryDirectory(prefix="qanat-demo-") as folder:
            try:
                yield Path(folder)
            except OSError as fault:
                raise machine_fault(fault, path=Path(fault.filename or folder), elsewhere=elsewhere) from None
    except OSError as fault:
        raise machine_fault(fault, elsewhere=elsewhere) from None


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove those of the folders that are empty, the innermost first."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _check_correspondents(network: Network, source: str) -> None:
    """Raise NetworkFileError, before anything is made, when no application could send to one at another site."""
    if len({application.site for application in network.applications}) < 2:
        raise NetworkFileError(
            "no two applications are at different sites, and the demonstration sends a file from one site to another",
            source=source,
            line=None,
            remedy="put an application at each of two sites",
        )


def demo_record(result: DemoResult, report: Path) -> dict[str, object]:
    """Return the demonstration as JSON has it."""
    return {
        "format": "qanat-demo/1",
        "all_held": result.all_held,
        "file_identical": all(transfer.identical for transfer in result.transfers),
        "duration_s": round(result.duration_s, 3),
        "links": [
            {
                "link_id": link.link_id,
                "loss_db": link.loss_db,
                "length_km": link.length_km,
                "light_s": link.light_s,
                "sifted_rate_bits_per_s": link.sifted_rate_bits_per_s,
                "qber": link.qber,
                "f_ec": link.f_ec,
                "block_bits": link.block_bits,
                "eps_total": link.eps_total,
                "secret_rate_bits_per_s": link.secret_rate_bits_per_s,
                "keys_identical": link.keys_identical,
                "provenance": dict(link.provenance),
            }
            for link in result.links
        ],
        "steps": [
            {
                "request": number,
                "step": event.step,
                "event_id": event.id,
                "cause": event.cause,
                "node": event.node,
                "utc_s": event.utc_s,
            }
            for number, transfer in enumerate(result.transfers, start=1)
            for event in steps_of(result.events, _delivered(result, transfer.request_id))
        ],
        "transfers": [
            {
                "name": transfer.name,
                "size_bytes": transfer.size_bytes,
                "num_keys": transfer.num_keys,
                "sha256": transfer.sha256,
                "identical": transfer.identical,
                "key_route": list(transfer.key_route),
            }
            for transfer in result.transfers
        ],
        "checks": [{"text": check.text, "held": check.held} for check in result.checks],
        "report": str(report.resolve()),
    }


def _delivered(result: DemoResult, request_id: str) -> str:
    return next(
        event.id
        for event in result.events
        if event.kind is EventKind.MESSAGE_DELIVERED and event.request_id == request_id
    )


def _show(view: RunView, result: DemoResult) -> None:
    view.show_table(
        "Links: rates in kbit/s, blocks in Mbit (loss: input; the rest: predicted, photon by photon)",
        ("link", "dB", "light s", "sifted", "QBER %", "f_EC", "block", "epsilon", "secret", "equal"),
        [
            (
                link.link_id,
                f"{link.loss_db:.1f}",
                f"{link.light_s:.1f}",
                f"{link.sifted_rate_bits_per_s / 1e3:.1f}",
                f"{100 * link.qber:.2f}",
                f"{link.f_ec:.3f}",
                f"{link.block_bits / 1e6:.2f}",
                f"{link.eps_total:.1e}",
                f"{link.secret_rate_bits_per_s / 1e3:.1f}",
                "yes" if link.keys_identical else "NO",
            )
            for link in result.links
        ],
    )
    view.show_table(
        "Sent",
        ("name", "size", "chunks", "keys", "by way of", "equal"),
        [
            (
                escape(transfer.name),
                format_size(transfer.size_bytes),
                str(transfer.num_chunks),
                str(transfer.num_keys),
                " - ".join(transfer.key_route),
                "yes" if transfer.identical else "NO",
            )
            for transfer in result.transfers
        ],
    )
    for check in result.checks:
        view.say(f"  {'[green]held[/]  ' if check.held else '[bold red]FAILED[/]'}  {escape(check.text)}")
