"""``qanat demo``: shows a demonstration while it runs, then its tables, its report and its JSON."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rich.markup import escape

from qanat.adapters.files import write_whole
from qanat.adapters.machine_faults import machine_fault
from qanat.adapters.physical_entropy import EntropySource
from qanat.apps.cli.presentation import RunView
from qanat.apps.demo import demonstrate, steps_of
from qanat.apps.networks import load_network
from qanat.apps.report import DemoResult, LinkResult, render_report
from qanat.apps.report.comparison import TABLE_1_LOSS_DB, TABLE_1_RATE_BITS_PER_S, PaperRange, Summary, compare
from qanat.apps.report.line import backbone_links, bounding_link, eps_of_key, hops_of_key, spans_of
from qanat.apps.report.result import Leg
from qanat.ground.clock import format_utc
from qanat.ground.errors import ConfigurationError, NetworkFileError
from qanat.ground.events import EventKind
from qanat.ground.network import Network
from qanat.ground.units import format_size

REPORT_NAME = "report.html"
MOST_SITES = 64
MOST_NODES_NAMED = 8
"""Longer routes are told by their ends."""


def run_demo(
    name: str,
    *,
    file: Path | None,
    out: Path,
    as_json: bool,
    entropy_source: EntropySource | None = None,
    light_share: float = 1.0,
) -> int:
    """Run the demonstration; returns 0 only if all that it set out to prove held."""
    network = load_network(name)
    if len(network.sites) > MOST_SITES:
        raise ConfigurationError(
            f"{name} has {len(network.sites)} sites, and the demonstration opens and watches every one",
            remedy=f"bring it up, each site when it is first called: `qanat up {name}`",
        )
    _check_correspondents(network, name)
    if file is not None and not file.is_file():
        what = "is no plain file" if file.exists() else "does not exist"
        raise ConfigurationError(f"{file} {what}", remedy="name the file to send with --file")
    report = out / REPORT_NAME
    with report_folder(out):
        with scratch_folder() as folder, RunView() as view:
            work = demonstrate(
                network, folder, file=file, view=view, entropy_source=entropy_source, light_share=light_share
            )
            result = asyncio.run(work)
        _show(view, result)
        out.mkdir(parents=True, exist_ok=True)  # another demonstration that failed here may have taken it away
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
    bounding = _end_to_end(result)
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
                "proof": link.proof,
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
        "end_to_end": None
        if bounding is None
        else {
            "secret_rate_bits_per_s": bounding.secret_rate_bits_per_s,
            "bounded_by": bounding.link_id,
            "eps_total": eps_of_key(hops_of_key(result)),
        },
        "paper": _paper_rows(result),
        "satellite": None if result.space is None else {**asdict(result.space), "total_km": result.space.total_km},
        "door_latency": None if result.door_latency is None else asdict(result.door_latency),
        "entropy": dict(result.entropy),
        "checks": [{"text": check.text, "held": check.held} for check in result.checks],
        "report": str(report.resolve()),
    }


def _delivered(result: DemoResult, request_id: str) -> str:
    return next(
        event.id
        for event in result.events
        if event.kind is EventKind.MESSAGE_DELIVERED and event.request_id == request_id
    )


def _end_to_end(result: DemoResult) -> LinkResult | None:
    """Return the link that bounds the rate end to end."""
    return bounding_link(hops_of_key(result))


def _paper_rows(result: DemoResult) -> list[dict[str, object]]:
    """Return the paper's statements on the backbone beside what this run gave; none for other networks."""
    spans = spans_of(backbone_links(result))
    rows = compare(spans) if spans else []
    return [
        {"statement": row.statement.text, "source": row.statement.source, "here": row.run.text, "holds": row.run.holds}
        for row in rows
    ]


def _show_paper(view: RunView, result: DemoResult) -> None:
    """Print the backbone's figures beside the paper's."""
    spans = backbone_links(result)
    if not spans:
        return
    rows = [
        (name, *(f"{value:.1f}" for value in (summary.least, summary.mean, summary.greatest)), theirs, what)
        for name, summary, theirs, what in (
            ("loss (dB)", Summary.of([s.loss_db for s in spans]), _range(TABLE_1_LOSS_DB), "input"),
            (
                "secret rate (kbit/s)",
                Summary.of([s.secret_rate_bits_per_s / 1e3 for s in spans]),
                _range(TABLE_1_RATE_BITS_PER_S, 1e-3),
                "predicted (photon level)",
            ),
        )
    ]
    columns = ("", "least", "mean", "greatest", "paper, Table 1", "ours is")
    view.show_table(f"{len(spans)} spans of the backbone, one pair of devices each", columns, rows)
    for row in _paper_rows(result):
        mark = "[green]holds here[/]" if row["holds"] else "[yellow]does not hold here[/]"
        view.say(f"  {mark}: {row['statement']} ({row['source']}); here {row['here']}")
    view.say(
        "  ours: composable at 1e-9, one block of four million bits a span; the paper's: asymptotic, over a month. The "
        "report says what larger blocks give."
    )


def _show_space(view: RunView, result: DemoResult) -> None:
    """Print what went by satellite, and how far the keys went."""
    if (space := result.space) is None:
        return
    view.show_table(
        "Passes: live at photon level, beside what the model expects (Mbit); waiting was left out",
        (
            "pass",
            "rise, UTC",
            "high",
            "near km",
            "loss dB",
            "sifted",
            "model",
            "QBER %",
            "f_EC",
            "secret",
            "model",
            "equal",
        ),
        [
            (
                f"{one.satellite} over {one.station}",
                format_utc(one.rise_utc_s)[:19],
                f"{one.max_elevation_deg:.0f}",
                f"{one.min_range_km:,.0f}",
                f"{one.loss_db[0]:.1f} - {one.loss_db[1]:.1f}",
                f"{one.sifted_bits / 1e6:.1f}",
                f"{one.expected_sifted_bits / 1e6:.1f}",
                f"{100 * one.qber:.2f}",
                f"{one.f_ec:.3f}",
                f"{one.secret_bits / 1e6:.2f}",
                f"{one.expected_secret_bits / 1e6:.2f}",
                "yes" if one.keys_identical else "NO",
            )
            for one in space.passes
        ],
    )
    for announced in space.announced:
        view.say(
            f"  announced by {announced.route[1]}: {announced.num_bits:,} bits for {announced.route[0]} and "
            f"{announced.route[-1]}, for {announced.qkd_bits:,} bits of its links"
        )
    legs = [*space.legs, Leg("end to end", space.total_km, "input"), *space.title]
    rows = [(leg.name, f"{leg.length_km:,.0f}", f"{leg.paper_km:,.0f}" if leg.paper_km else "-") for leg in legs]
    num_columns = 3 if any(leg.paper_km for leg in legs) else 2
    view.show_table(
        "The way of the keys (km; ours: input, that is the file's fibre and coordinates)",
        ("part", "here", "paper")[:num_columns],
        [row[:num_columns] for row in rows],
    )


def _range(theirs: PaperRange, scale: float = 1.0) -> str:
    return " / ".join(
        "-" if value is None else f"{value * scale:.1f}" for value in (theirs.least, theirs.mean, theirs.greatest)
    )


def _way(route: Sequence[str]) -> str:
    """Name a route, or its ends and how many relays lie between them."""
    return " - ".join(route if len(route) <= MOST_NODES_NAMED else (route[0], f"{len(route) - 2} relays", route[-1]))


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
        ("name", "size", "keys", "by way of", "equal"),
        [
            (
                escape(transfer.name),
                format_size(transfer.size_bytes),
                str(transfer.num_keys),
                _way(transfer.key_route),
                "yes" if transfer.identical else "NO",
            )
            for transfer in result.transfers
        ],
    )
    _show_paper(view, result)
    _show_space(view, result)
    if (bounding := _end_to_end(result)) is not None:
        rate = f"{bounding.secret_rate_bits_per_s / 1e3:.1f}"
        view.say(f"  end to end: {rate} kbit/s, the least of the links on the way ({bounding.link_id})")
    if (door := result.door_latency) is not None:
        view.say(
            f"  the door of {door.site} while the links made key: {door.count} calls, p50 {1e3 * door.p50_s:.1f} ms, "
            f"p99 {1e3 * door.p99_s:.1f} ms (goal: 20 ms)"
        )
    for check in result.checks:
        view.say(f"  {'[green]held[/]  ' if check.held else '[bold red]FAILED[/]'}  {escape(check.text)}")
