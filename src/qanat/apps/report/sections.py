"""What the sections of the report show: from the record of a run to what the templates need, without HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanat.apps.report import comparison, wording
from qanat.apps.report.charts import RateCurve, RatePoint, draw_deviation
from qanat.apps.report.comparison import PaperRange, Span, Summary
from qanat.apps.report.deviations import deviations_of
from qanat.apps.report.line import BACKBONE, Hop, backbone_links
from qanat.apps.report.result import Check, DemoResult, DoorLatency, IntensitySample, LinkResult, Provenance
from qanat.apps.report.space import legs_of
from qanat.ground.units import format_size
from qanat.physics.systems import SYSTEMS

PAPER_BACKBONE = (
    (10.3, 235.4e3, "least loss, greatest rate"),
    (16.0, 79.3e3, "mean loss, mean rate"),
    (20.5, 28.1e3, "greatest loss, least rate"),
)
"""Loss (dB), secret rate (bit/s) and what they are of the backbone's 31 spans (Nature 589, 214, Table 1)."""

LEAST_RATES_BITS_PER_S = (28.1e3, 28.4e3)
"""Two of the paper's figures for the least rate of its backbone, in Table 1 and in the caption of Fig. 4b."""

DOOR_GOAL_S = 0.02
"""Goal for the time within which a door answers 99 of 100 calls while links make key."""

MOST_CHECKS = 12
"""More checks than these are folded, unless they failed."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A key figure at the head of the page."""

    what: str
    value: str
    unit: str
    note: str
    kind: Provenance


def tiles_of(result: DemoResult, hops: Sequence[Hop], bounding: LinkResult | None) -> list[Tile]:
    """Return the figures that a reader in a hurry wants."""
    tiles = []
    if bounding is not None and len(hops) > 1:
        rate = wording.kilobits_per_s(bounding.secret_rate_bits_per_s)
        note = f"the least of {len(hops)} links: {bounding.link_id}, {bounding.loss_db:.1f} dB"
        tiles.append(Tile("secret rate, end to end", rate, "kbit/s", note, "predicted (photon level)"))
    if links := backbone_links(result):
        rates = Summary.of([link.secret_rate_bits_per_s for link in links])
        note = f"to {wording.kilobits_per_s(rates.greatest)}, mean {wording.kilobits_per_s(rates.mean)}; backbone spans"
        least = wording.kilobits_per_s(rates.least)
        tiles.append(Tile(f"{len(links)} spans, from", least, "kbit/s", note, "predicted (photon level)"))
    if hops:
        tiles.append(_way_tile(result, hops))
    if result.space is not None and result.space.title:
        note = f"between the stations and along the backbone; the paper's title: {result.space.title[-1].paper_km:,.0f}"
        length = f"{result.space.title[-1].length_km:,.0f}"
        tiles.append(Tile("by satellite and fibre", length, "km", note, "input"))
    if result.transfers:
        sent = result.transfers[0]
        size, unit = format_size(sent.size_bytes).split(" ")
        equal = "equal" if sent.identical else "NOT equal"
        note = f"under {wording.keys(sent.num_keys)}, in {wording.seconds(sent.duration_s)}: {equal} at the far end"
        tiles.append(Tile("file sent", size, unit, note, "live run"))
    if result.door_latency is not None:
        tiles.append(_door_tile(result.door_latency))
    return tiles if len(tiles) > 1 else []


def _way_tile(result: DemoResult, hops: Sequence[Hop]) -> Tile:
    legs = legs_of(result.network, next(one.key_route for one in result.transfers if len(one.key_route) > 1))
    fibre_km = sum(leg.length_km for leg in legs if not leg.note)
    by_satellite_km = sum(leg.length_km for leg in legs if leg.note)
    of_what = "of fibre"
    if by_satellite_km:
        of_what = f"{fibre_km:,.0f} of fibre and {by_satellite_km:,.0f} on the ground between a satellite's stations"
    note = f"{of_what}, {len(hops)} hop{'s' if len(hops) != 1 else ''} from {hops[0].start} to {hops[-1].stop}"
    return Tile("the way of the keys", f"{fibre_km + by_satellite_km:,.0f}", "km", note, "input")


def _door_tile(door: DoorLatency) -> Tile:
    note = f"99 of 100 of {wording.count(door.count)} calls, while links made key"
    value, unit = wording.milliseconds(door.p99_s).split(" ")
    return Tile("a door answers within", value, unit, note, "live run")


def divided(checks: Sequence[Check]) -> tuple[list[Check], list[Check]]:
    """Return the checks to show and those to fold. A check that failed is always shown, and first."""
    failed, held = [check for check in checks if not check.held], [check for check in checks if check.held]
    if len(checks) <= MOST_CHECKS:
        return [*failed, *held], []
    room = max(0, MOST_CHECKS - len(failed))
    return [*failed, *held[:room]], held[room:]


@dataclass(frozen=True, slots=True)
class BackboneRow:
    """A quantity of the spans counted as backbone (least, mean, greatest) beside the paper's Table 1."""

    name: str
    kind: Provenance
    pattern: str
    ours: tuple[float, float, float]
    paper: tuple[float | None, float | None, float | None]
    note: str

    @property
    def ratios(self) -> tuple[float | None, ...]:
        return tuple(None if b is None else a / b for a, b in zip(self.ours, self.paper, strict=True))


@dataclass(frozen=True, slots=True)
class BackboneTable:
    """The spans counted as backbone that made key, how many made none, and a row per quantity."""

    num_links: int
    num_missing: int
    rows: tuple[BackboneRow, ...]


NO_FIGURE = PaperRange(None, None, None)


def backbone_table(result: DemoResult) -> BackboneTable | None:
    """Return the spans counted as backbone beside Table 1; None when there is none with key."""
    links = backbone_links(result)
    if not links:
        return None
    chosen = "input on both sides: chosen to meet Table 1, so that this is no agreement"
    known = links[0].provenance
    sifted, qber, f_ec, secret = (
        known.get(name, "predicted (photon level)")
        for name in ("sifted_rate_bits_per_s", "qber", "f_ec", "secret_rate_bits_per_s")
    )
    rows = (
        _row("loss, dB", "input", [link.loss_db for link in links], comparison.TABLE_1_LOSS_DB, "%.1f", chosen),
        _row("length, km", "input", [link.length_km for link in links], comparison.TABLE_1_LENGTH_KM, "%.1f", chosen),
        _row("sifted, kbit/s", sifted, [link.sifted_rate_bits_per_s / 1e3 for link in links], NO_FIGURE, "%.1f"),
        _row("QBER, %", qber, [100 * link.qber for link in links], NO_FIGURE, "%.2f"),
        _row("f_EC", f_ec, [link.f_ec for link in links], NO_FIGURE, "%.3f"),
        _row(
            "secret, kbit/s",
            secret,
            [link.secret_rate_bits_per_s / 1e3 for link in links],
            _in_kilobits(comparison.TABLE_1_RATE_BITS_PER_S),
            "%.1f",
            "predicted, nothing fitted; one finite block here, a month of asymptotic rates there",
        ),
    )
    num_counted = sum(link.counted_as == BACKBONE for link in result.network.links)
    return BackboneTable(len(links), num_counted - len(links), rows)


def _row(
    name: str, kind: Provenance, values: Sequence[float], paper: PaperRange, pattern: str, note: str = ""
) -> BackboneRow:
    ours = Summary.of(values)
    return BackboneRow(
        name=name,
        kind=kind,
        pattern=pattern,
        ours=(ours.least, ours.mean, ours.greatest),
        paper=(paper.least, paper.mean, paper.greatest),
        note=note,
    )


def _in_kilobits(values: PaperRange) -> PaperRange:
    least, mean, greatest = (v and v / 1e3 for v in (values.least, values.mean, values.greatest))
    return PaperRange(least, mean, greatest)


def rate_points(links: Sequence[LinkResult]) -> list[RatePoint]:
    """Return the points of the chart of rate against loss."""
    points = [RatePoint("paper", loss_db, rate) for loss_db, rate, _ in PAPER_BACKBONE]
    return points + [RatePoint("drawn", link.loss_db, link.secret_rate_bits_per_s) for link in links]


def rate_curves(links: Sequence[LinkResult]) -> list[RateCurve]:
    """Return curves by formula for the run's block and for an endless key; none unless all links are of one kind."""
    systems, blocks = {link.system for link in links}, {link.block_bits for link in links}
    if len(systems) != 1 or len(blocks) != 1 or not systems <= set(SYSTEMS):
        return []
    losses = [link.loss_db for link in links] + [loss_db for loss_db, _, _ in PAPER_BACKBONE]
    (system,), (block_bits,) = systems, blocks
    from_db, to_db = max(0.0, min(losses) - 1), max(losses) + 1
    return [
        RateCurve(text, style, comparison.rate_curve(system, block_bits=block, from_db=from_db, to_db=to_db))
        for text, style, block in (
            (f"formula, {wording.short_bits(block_bits)} blocks", "solid", block_bits),
            ("formula, endless key", "dashed", None),
        )
    ]


def beside_paper(links: Sequence[LinkResult]) -> list[tuple[float, float, str, LinkResult | None]]:
    """Return Table 1's three points with the link of that loss, where there is one."""
    return [(*row, next((link for link in links if abs(link.loss_db - row[0]) < 0.05), None)) for row in PAPER_BACKBONE]


def known_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the spans whose system has formulas here; a device of somebody else's has none."""
    return [span for span in spans if span.system in SYSTEMS]


def deviation_pictures(sample: IntensitySample) -> dict[str, str]:
    """Return a small scale for each of gain and QBER that has a distance from the model."""
    return {one.quantity: draw_deviation(one.sigma) for one in deviations_of(sample)}
