"""From the record of a demonstration to one HTML file: what happened, what it proves, and what each number is."""

from __future__ import annotations

from collections.abc import Mapping

import jinja2

from qanat.apps.pictures.map import draw_map
from qanat.apps.report import comparison, line, sections, wording
from qanat.apps.report.charts import draw_life, draw_rates
from qanat.apps.report.deviations import FEWEST, all_deviations, draw_deviations, spread_of
from qanat.apps.report.line_picture import draw_line
from qanat.apps.report.pools_picture import NUM_COLOURS, NUM_SHADES, draw_pools
from qanat.apps.report.result import DemoResult, LinkResult, Provenance, Transfer
from qanat.apps.report.space import TITLE_KM
from qanat.apps.report.steps_picture import Request, delivered_requests, draw_steps
from qanat.apps.report.wall_time import MAKING, draw_wall_time, stretches_of, total_of_phases
from qanat.ground.clock import format_utc
from qanat.ground.data import read_text
from qanat.ground.identifiers import LinkId
from qanat.ground.units import format_rate, format_size

MARKS: dict[Provenance, tuple[str, str]] = {
    "input": ("I", "input: from the network file, a data sheet or a choice made beforehand"),
    "predicted (photon level)": ("P", "predicted at photon level: clicks were drawn one by one, then really distilled"),
    "predicted (model)": ("M", "predicted by a formula, without drawing anything"),
    "live run": ("R", "seen in this run"),
    "paper": ("T", "printed in the paper (Nature 589, 214, 2021): its Table 1, Fig. 4 and text"),
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
    ("span", "a link between two neighbours of a long line; backbone spans are those that Table 1 counts"),
    ("pool", "the key in stock at both ends of a link, or between two users, that may still be spent"),
    ("door", "the interface by which applications ask a site for keys (ETSI GS QKD 014)"),
)

MANY_LINKS = 6
"""With more links than this, tables of details are folded."""

LEAST_HOPS_DRAWN = 4
"""A way of fewer hops is seen in the table at a glance."""


def render_report(result: DemoResult) -> str:
    """Return the report as one HTML document that loads nothing.

    Raises KeyError when the events do not hold the causes of a delivery.
    """
    requests = delivered_requests(result.events)
    hops = line.hops_of_key(result)
    context = {
        **_header(result),
        **_links(result),
        **_paper(result),
        **_details(result),
        **_run(result, requests),
        "map": draw_map(result.network, _rates(result)),
        "space": result.space,
        "utc": lambda utc_s: format_utc(utc_s)[:19].replace("T", " "),
        "hops": hops,
        "line_picture": draw_line(hops) if len(hops) >= LEAST_HOPS_DRAWN else "",
        "has_backbone": any(hop.is_backbone for hop in hops),
        "is_by_satellite": any(hop.is_downlink for hop in hops),
        "requests": [(request, draw_steps(request), _request_text(request)) for request in requests],
        "glossary": GLOSSARY,
    }
    return _environment().get_template("report.html.j2").render(context, sections=_sections(context))


def _rates(result: DemoResult) -> dict[LinkId, float]:
    """Return the secret rates of links that made key; of downlinks in the mean over the pass."""
    rates = {LinkId(link.link_id): link.secret_rate_bits_per_s for link in result.links}
    for one in result.space.passes if result.space is not None else ():
        rates[LinkId(one.link_id)] = one.secret_bits / one.light_s
    return rates


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        loader=jinja2.FunctionLoader(lambda name: read_text("apps.report", name)),
    )
    environment.filters |= {
        "count": wording.count,
        "kbit": wording.kilobits_per_s,
        "milliseconds": wording.milliseconds,
        "percent": wording.percent,
        "rate": format_rate,
        "scientific": wording.scientific,
        "seconds": wording.seconds,
        "size": format_size,
    }
    return environment


def _header(result: DemoResult) -> dict[str, object]:
    hops = line.hops_of_key(result)
    shown, folded = sections.divided(result.checks)
    return {
        "result": result,
        "title": result.network.title or result.network.name,
        "started": format_utc(result.started_utc_s)[:19].replace("T", " "),
        "summary": _summary(result),
        "tiles": sections.tiles_of(result, hops, line.bounding_link(hops)),
        "checks_shown": shown,
        "checks_folded": folded,
        "marks": MARKS,
        "colours": NUM_COLOURS,
        "shades": NUM_SHADES,
    }


def _summary(result: DemoResult) -> str:
    """Say in a sentence or two what happened."""
    if not result.transfers:
        return "No file was sent in this run."
    first = result.transfers[0]
    titles = {site.name: site.title or site.name for site in result.network.sites}
    route = [titles.get(node, node) for node in first.key_route]
    relays = len(route) - 2
    way = f"over {relays} trusted relay{'s' if relays != 1 else ''}" if relays > 0 else "over one link"
    passes = ""
    if (aloft := _aloft(result, first)) and result.space is not None:
        num_passes = len(result.space.passes)
        way = f"over {relays} trusted nodes, of which {' and '.join(aloft)} flies,"
        passes = f" of fibre and in {num_passes} pass{'es' if num_passes != 1 else ''} of a satellite"
    ends = f" went from {route[0]} to {route[-1]}" if route else " was sent"
    return (
        f"{first.name} ({format_size(first.size_bytes)}){ends} under "
        f"{wording.keys(first.num_keys)} of 128 bits. The keys were made from simulated photons on "
        f"{len(result.links)} link{'s' if len(result.links) != 1 else ''}{passes}, distilled by two parties for each "
        f"that share nothing but messages, and passed {way} by one-time pad.{_by_satellite(result, titles)}"
    )


def _by_satellite(result: DemoResult, titles: Mapping[str, str]) -> str:
    """Say in a sentence what went by satellite, if anything did."""
    if result.space is None or not result.space.transfer.key_route:
        return ""
    route = result.space.transfer.key_route
    aloft = " and ".join(_aloft(result, result.space.transfer))
    start, stop = (titles.get(node, node) for node in (route[0], route[-1]))
    as_titled = ""
    if result.space.title:
        as_titled = f", {result.space.title[-1].length_km:,.0f} as the paper's title counts its {TITLE_KM:,.0f}"
    return (
        f" {result.space.transfer.name} went from {start} by {aloft} to {stop}: {result.space.total_km:,.0f} km for "
        f"its keys{as_titled}."
    )


def _aloft(result: DemoResult, sent: Transfer) -> list[str]:
    """Return the titles of the satellites that keys of a transfer went by."""
    return [one.title or one.name for one in result.network.satellites if one.name in sent.key_route]


def _request_text(request: Request) -> str:
    span = wording.seconds(request.steps[-1].monotonic_s - request.steps[0].monotonic_s)
    generated = 7 in request.numbers
    return (
        f"{'The pools held too little: key had to be made first.' if generated else 'The keys were in stock.'} "
        f"Steps {', '.join(map(str, request.numbers))}; {span} of computing from request to delivery."
    )


def _links(result: DemoResult) -> dict[str, object]:
    hops = line.hops_of_key(result)
    bounding = line.bounding_link(hops)
    with_key = {link.link_id for link in result.links}
    return {
        "links": line.in_order(result.links, hops),
        "many_links": len(result.links) > MANY_LINKS,
        "silent_links": [
            link.name for link in result.network.links if link.makes_key_on_order and link.name not in with_key
        ],
        "proofs": list(dict.fromkeys(link.proof for link in result.links)),
        "backbone": sections.backbone_table(result),
        "bounding": bounding if len(hops) > 1 else None,
        "eps_of_key": line.eps_of_key(hops),
        "end_to_end": _end_to_end(hops) if bounding else None,
    }


def _end_to_end(hops: list[line.Hop]) -> comparison.Finding:
    rates = [hop.result.secret_rate_bits_per_s for hop in hops if hop.result is not None]
    return comparison.STATEMENT_4A.judge(rates)


def _paper(result: DemoResult) -> dict[str, object]:
    spans = sections.known_spans(line.spans_of(line.backbone_links(result)))
    rows = comparison.compare(spans) if spans else []
    blocks = [wording.short_bits(block) if block else "endless" for block in comparison.BLOCKS_BITS]
    return {
        "comparison": rows,
        "num_holding": [
            sum(row.run.holds for row in rows),
            *(sum(row.predicted[place].holds for row in rows) for place in range(len(blocks))),
        ],
        "blocks": blocks,
        "run_block": wording.short_bits(result.links[0].block_bits) if result.links else "",
        "slow_spans": comparison.slow_spans(spans, sections.LEAST_RATES_BITS_PER_S),
        "formula_f_ec": comparison.FORMULA_F_EC,
        "rates": draw_rates(sections.rate_points(result.links), sections.rate_curves(result.links)),
        "paper": sections.beside_paper(result.links),
    }


def _details(result: DemoResult) -> dict[str, object]:
    hops = line.hops_of_key(result)
    details = [link for link in line.in_order(result.links, hops) if link.life or link.intensities]
    backbone = {link.link_id for link in line.backbone_links(result)}
    telling = line.telling_links(details, line.bounding_link(hops), backbone=backbone)
    deviations = all_deviations(result.links)
    is_crowd = len(deviations) >= FEWEST
    return {
        "details": details,
        "telling": [link.link_id for link in telling],
        "life_picture": _life_picture,
        "deviation_pictures": sections.deviation_pictures,
        "spread": spread_of(deviations) if is_crowd else None,
        "spread_picture": draw_deviations(deviations) if is_crowd else "",
    }


def _life_picture(link: LinkResult) -> str:
    return draw_life(link.life, title=link.link_id)


def _run(result: DemoResult, requests: list[Request]) -> dict[str, object]:
    stretches = stretches_of(result, requests)
    order = [hop.link.name for hop in line.hops_of_key(result)]
    accounts = result.relays
    return {
        "pools": draw_pools(result.pool_samples, order=order) if result.pool_samples else "",
        "has_ready_pool": any(sample.is_end_to_end for sample in result.pool_samples),
        "wall_time": draw_wall_time(stretches) if stretches else "",
        "making_s": dict(total_of_phases(stretches)).get(MAKING, 0.0),
        "most_light_s": max((link.light_s for link in result.links), default=0.0),
        "door_goal_s": sections.DOOR_GOAL_S,
        "accounts_due": sum(one.num_hops * one.key_bits + one.authentication_bits for one in accounts),
        "accounts_balanced": all(one.is_balanced for one in accounts),
        "long_ways": sorted({transfer.key_route for transfer in result.transfers if len(transfer.key_route) > 5}),
        "clock": lambda utc_s: format_utc(utc_s)[11:23],
    }


def _sections(context: dict[str, object]) -> list[tuple[str, str]]:
    """Return anchor and name of every section that the page has."""
    result = context["result"]
    assert isinstance(result, DemoResult)
    candidates = (
        ("network", "Network", True),
        ("line", "End to end", context["hops"]),
        ("space", "By satellite", context["space"]),
        ("steps", "Ten steps", True),
        ("links", "Links", True),
        ("paper", "Beside the paper", True),
        ("life", "Life of a key", context["details"]),
        ("model", "Beside the model", context["spread"]),
        ("pools", "Pools", context["pools"]),
        ("time", "Time", context["wall_time"] or result.door_latency),
        ("accounts", "Accounts", result.relays),
        ("files", "Files", result.transfers),
        ("events", "Events", context["requests"]),
        ("words", "Words", True),
    )
    return [(anchor, name) for anchor, name, is_there in candidates if is_there]
