"""From the record of a demonstration to one HTML file: what happened, what it proves, and what each number is."""

from __future__ import annotations

from collections.abc import Sequence

import jinja2

from qanat.apps.pictures.map import draw_map
from qanat.apps.report import wording
from qanat.apps.report.charts import NUM_COLOURS, RatePoint, draw_deviation, draw_life, draw_pools, draw_rates
from qanat.apps.report.result import DemoResult, IntensitySample, LinkResult, Provenance
from qanat.apps.report.steps_picture import Request, delivered_requests, draw_steps
from qanat.ground.clock import format_utc
from qanat.ground.data import read_text
from qanat.ground.identifiers import LinkId
from qanat.ground.units import format_rate, format_size

PAPER_BACKBONE = (
    (10.3, 235.4e3, "least loss, greatest rate"),
    (16.0, 79.3e3, "mean loss, mean rate"),
    (20.5, 28.1e3, "greatest loss, least rate"),
)
"""Loss (dB), secret rate (bit/s) and what they are of the backbone's 31 spans (Nature 589, 214, Table 1)."""

MARKS: dict[Provenance, tuple[str, str]] = {
    "input": ("I", "input: from the network file, a data sheet or a choice made beforehand"),
    "predicted (photon level)": ("P", "predicted at photon level: clicks were drawn one by one, then really distilled"),
    "predicted (model)": ("M", "predicted by a formula, without drawing anything"),
    "live run": ("R", "seen in this run"),
    "paper": ("T", "printed in the paper's Table 1"),
}
"""The letter beside a number, and its meaning."""

GLOSSARY = (
    ("raw", "what the detectors gave: one bit for each slot in which one clicked"),
    ("sifted", "raw bits for which sender and receiver happened to choose the same basis"),
    ("reconciled", "sifted bits after error correction; what was said in clear for it is counted as known to Eve"),
    ("verified", "reconciled bits whose equality at both ends was checked by a universal hash"),
    ("secret", "verified bits, hashed to the length up to which the proof allows Eve to know nothing of them"),
    ("QBER", "quantum bit error rate: the share of sifted signal bits that differ between the two ends"),
    ("f_EC", "bits disclosed by error correction over the least number that Shannon allows; 1 is perfect"),
    ("block", "verified bits that privacy amplification takes at once; the larger, the less the proof charges"),
    ("ε", "bound on the probability that the key is not perfect: not secret, or not equal at both ends"),
    ("gain", "clicks per pulse sent"),
    ("pad", "secret bits that hide one authentication tag or one relayed key, used once and destroyed"),
    ("trusted relay", "a node where keys exist in clear while it passes them on; whoever holds it can read them"),
)


def render_report(result: DemoResult) -> str:
    """Return the report as one HTML document that loads nothing.

    Raises KeyError when the events do not hold the causes of a delivery.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "count": wording.count,
        "kbit": wording.kilobits_per_s,
        "percent": wording.percent,
        "rate": format_rate,
        "scientific": wording.scientific,
        "seconds": wording.seconds,
        "size": format_size,
    }
    requests = delivered_requests(result.events)
    return environment.from_string(read_text("apps.report", "report.html.j2")).render(
        result=result,
        title=result.network.title or result.network.name,
        started=format_utc(result.started_utc_s)[:19].replace("T", " "),
        summary=_summary(result),
        site_titles={site.name: site.title or site.name for site in result.network.sites},
        map=draw_map(result.network, {LinkId(link.link_id): link.secret_rate_bits_per_s for link in result.links}),
        requests=[(request, draw_steps(request), _request_text(request)) for request in requests],
        marks=MARKS,
        lives=[(link, draw_life(link.life, title=link.link_id)) for link in result.links if link.life],
        rates=draw_rates(_rate_points(result.links)),
        paper=[(*row, _at_loss(result.links, row[0])) for row in PAPER_BACKBONE],
        samples=[(link, sample, _deviations(sample)) for link in result.links for sample in link.intensities],
        pools=draw_pools(result.pool_samples) if result.pool_samples else "",
        glossary=GLOSSARY,
        colours=NUM_COLOURS,
        clock=lambda utc_s: format_utc(utc_s)[11:23],
    )


def _summary(result: DemoResult) -> str:
    """Say in a sentence or two what happened."""
    if not result.transfers:
        return "No file was sent in this run."
    first = result.transfers[0]
    titles = {site.name: site.title or site.name for site in result.network.sites}
    route = [titles.get(node, node) for node in first.key_route]
    relays = len(route) - 2
    way = f"over {relays} trusted relay{'s' if relays != 1 else ''}" if relays > 0 else "over one link"
    return (
        f"{first.name} ({format_size(first.size_bytes)}) went from {route[0]} to {route[-1]} under "
        f"{wording.count(first.num_keys)} keys of 128 bits. The keys were made from simulated photons on "
        f"{len(result.links)} link{'s' if len(result.links) != 1 else ''}, distilled at both ends by programs that "
        f"share nothing but messages, and passed {way} by one-time pad."
    )


def _request_text(request: Request) -> str:
    span = wording.seconds(request.steps[-1].monotonic_s - request.steps[0].monotonic_s)
    generated = 7 in request.numbers
    return (
        f"{'The pools held too little: key had to be made first.' if generated else 'The keys were in stock.'} "
        f"Steps {', '.join(map(str, request.numbers))}; {span} of computing from request to delivery."
    )


def _rate_points(links: Sequence[LinkResult]) -> list[RatePoint]:
    points = [RatePoint("paper", loss_db, rate) for loss_db, rate, _ in PAPER_BACKBONE]
    for link in links:
        points.append(RatePoint("drawn", link.loss_db, link.secret_rate_bits_per_s))
        if link.predicted is not None:
            points.append(RatePoint("model", link.loss_db, link.predicted.secret_rate_bits_per_s))
    return points


def _at_loss(links: Sequence[LinkResult], loss_db: float) -> LinkResult | None:
    return next((link for link in links if abs(link.loss_db - loss_db) < 0.05), None)


def _deviations(sample: IntensitySample) -> dict[str, tuple[float, str]]:
    """Return, for gain and QBER, the distance from the model in standard errors and its picture."""
    deviations = {}
    for name, value, sigma, model in (
        ("gain", sample.gain, sample.gain_sigma, sample.gain_model),
        ("qber", sample.qber, sample.qber_sigma, sample.qber_model),
    ):
        if value is not None and model is not None and sigma:
            distance = (value - model) / sigma
            deviations[name] = (distance, draw_deviation(distance))
    return deviations
