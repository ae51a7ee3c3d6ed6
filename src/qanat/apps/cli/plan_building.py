"""``qanat plan pairs``, ``relays`` and ``shapes``: what to build for a rate, and what shape of network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qanat.apps.cli.plan_tables import few
from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.networks import load_network
from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import NodeId
from qanat.planning.limits import DWELL_S, link_rates
from qanat.planning.measuring import Measured, side_by_side
from qanat.planning.placement import Placement, Wish, along_a_way, among_sites
from qanat.planning.prices import Prices, changed
from qanat.planning.shapes import Plan
from qanat.planning.spans import SpanNeed, check_rate, needs_for
from qanat.quantum_layer.forecast import link_forecast

MOST_SPANS = 45
"""So many spans are printed; ``--json`` has all."""
PRICES_TOLD = (
    "prices are assumptions in units of a transmitter, to be replaced by --price; that detectors are the dearest part "
    "is the paper's (Nature 589, 214, 2021)"
)
RATES_TOLD = "rates are predicted by formula (model) from losses, which are inputs"


def _bits(kbit_per_s: float) -> float:
    return check_rate(round(kbit_per_s * 1e3, 6))


def _price_line(prices: Prices) -> str:
    return ", ".join(f"{name} {price:g}" for name, price in asdict(prices).items())


# --- pairs ---


def run_pairs(name: str, *, one: str, other: str, rate_kbit_per_s: float, prices: Sequence[str], as_json: bool) -> int:
    """Print how many pairs of devices each span on the way of a demand needs. Returns 0."""
    paid = changed(Prices(), prices)
    network = load_network(name)
    wanted = _bits(rate_kbit_per_s)
    needs = needs_for(network, link_rates(network), NodeId(one), NodeId(other), rate_bits_per_s=wanted)
    cost = sum(need.more * paid.pair(need.link.system) for need in needs)
    if as_json:
        told = {
            "network": network.name,
            "from": one,
            "to": other,
            "wanted_bits_per_s": wanted,
            "spans": [_need_record(need) for need in needs],
            "more_pairs": sum(need.more for need in needs),
            "cost": cost,
            "prices": asdict(paid),
            "provenance": {"rates": RATES_TOLD, "prices": PRICES_TOLD},
        }
        print(json.dumps(told, indent=2))
    else:
        _print_needs(needs, cost, paid, title=f"{one} - {other} at {rate_kbit_per_s:g} kbit/s")
    return 0


def _need_record(need: SpanNeed) -> dict[str, Any]:
    return {
        "link_id": need.link.link_id,
        "system": need.link.system,
        "loss_db": need.link.loss_db,
        "rate_bits_per_s": need.rate_bits_per_s,
        "pairs": need.link.pairs,
        "pairs_needed": need.pairs_needed,
    }


def _print_needs(needs: Sequence[SpanNeed], cost: float, prices: Prices, *, title: str) -> None:
    console = people_console(is_answer=True)
    short = [need for need in needs if need.more]
    if short:
        show_table(
            console,
            f"{title}: spans on its way that need more",
            ("span", "system", "loss, dB", "gives, kbit/s", "pairs", "needed"),
            [
                (
                    need.link.name,
                    need.link.system,
                    f"{need.link.loss_db:.1f}",
                    f"{need.rate_bits_per_s / 1e3:,.1f}",
                    str(need.link.pairs),
                    str(need.pairs_needed),
                )
                for need in short
            ],
        )
    more = sum(need.more for need in needs)
    console.print(
        f"  {title}: {len(needs)} links, {len(needs) - len(short)} of them wide enough; {more} more pairs of devices, "
        f"{cost:,.1f} in units of a transmitter",
        soft_wrap=True,
    )
    _print_told(prices)


# --- relays ---


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """What is asked, as it was typed."""

    rate_kbit_per_s: float
    length_km: float | None
    every_km: float
    network: str | None
    ends: tuple[str, ...]
    loss_db_per_km: float
    system: str
    prices: tuple[str, ...]


def run_relays(options: RelayOptions, *, as_json: bool) -> int:
    """Print relays and spans of the least cost. Returns 0."""
    prices = changed(Prices(), options.prices)
    link_forecast(options.system, loss_db=1.0)  # a system that does not exist is told first
    wish = Wish(_bits(options.rate_kbit_per_s), options.system, prices)
    found = _placement(options, wish)
    if as_json:
        told = {
            "wanted_bits_per_s": wish.rate_bits_per_s,
            "system": options.system,
            "candidates": found.candidates,
            "relays": list(found.relays),
            "spans": [asdict(span) for span in found.spans],
            "pairs": found.pairs,
            "cost": found.cost,
            "prices": asdict(prices),
            "provenance": {"rates": RATES_TOLD, "prices": PRICES_TOLD},
        }
        print(json.dumps(told, indent=2))
    else:
        _print_placement(found, options, prices)
    return 0


def _placement(options: RelayOptions, wish: Wish) -> Placement:
    if (options.length_km is None) == (options.network is None):
        raise BadParameter(
            "it is not said where relays may stand",
            remedy="give either --km, for a way of so much fibre, or --network with two or more --end SITE",
        )
    if options.network is not None:
        network, ends = load_network(options.network), [NodeId(end) for end in options.ends]
        return among_sites(network, wish, ends, loss_db_per_km=options.loss_db_per_km)
    if options.ends:
        raise BadParameter("a way of so many km has no named ends", remedy="leave --end out, or name a --network")
    assert options.length_km is not None
    return along_a_way(
        wish, length_km=options.length_km, every_km=options.every_km, loss_db_per_km=options.loss_db_per_km
    )


def _print_placement(found: Placement, options: RelayOptions, prices: Prices) -> None:
    console = people_console(is_answer=True)
    show_table(
        console,
        f"Spans of {options.system} at {options.rate_kbit_per_s:g} kbit/s and more each",
        ("from", "to", "fibre, km", "loss, dB", "pairs", "gives, kbit/s", "cost"),
        [
            (
                *span.ends,
                f"{span.length_km:,.1f}",
                f"{span.loss_db:.1f}",
                str(span.pairs),
                f"{span.gives_bits_per_s / 1e3:,.1f}",
                f"{span.cost:,.1f}",
            )
            for span in found.spans[:MOST_SPANS]
        ],
    )
    if len(found.spans) > MOST_SPANS:
        console.print(f"  and {len(found.spans) - MOST_SPANS} more spans, of which --json tells")
    console.print(
        f"  {len(found.relays)} relays, {len(found.spans)} spans with {found.pairs} pairs of devices: "
        f"{found.cost:,.1f} in units of a transmitter; least of all choices among {found.candidates} places",
        soft_wrap=True,
    )
    if found.relays:
        console.print(f"  relays at {few(found.relays)}", soft_wrap=True)
    _print_told(prices)


# --- shapes ---


def run_shapes(
    *, users: int, radius_km: float, loss_db_per_km: float, system: str, prices: Sequence[str], as_json: bool
) -> int:
    """Print all shapes side by side for the same users. Returns 0."""
    paid = changed(Prices(), prices)
    plan = Plan(users, radius_km, loss_db_per_km, system)
    found = side_by_side(plan, paid)
    if as_json:
        told = {
            **asdict(plan),
            "shapes": {name: None if one is None else _shape_record(one) for name, one in found.items()},
            "switch_dwell_s": DWELL_S,
            "prices": asdict(paid),
            "provenance": {"rates": RATES_TOLD, "prices": PRICES_TOLD},
        }
        print(json.dumps(told, indent=2))
    else:
        _print_shapes(plan, found, paid)
    return 0


def _shape_record(one: Measured) -> dict[str, Any]:
    return {
        **asdict(one.bill),
        "pairs": one.pairs,
        "trusted_relays_mean": one.trust.mean,
        "trusted_relays_most": one.trust.most,
        "pairs_lost_with_worst_relay": one.relay_loss,
        "pairs_lost_with_worst_switch": one.switch_loss,
        "each_bits_per_s": one.each_bits_per_s,
        "total_bits_per_s": one.total_bits_per_s,
        "alone_bits_per_s": one.alone_bits_per_s,
    }


def _print_shapes(plan: Plan, found: dict[str, Measured | None], prices: Prices) -> None:
    console = people_console(is_answer=True)
    title = f"{plan.num_users} users, {plan.radius_km:g} km of fibre from the middle to each, {plan.system}"
    show_table(
        console,
        f"{title}: what it takes",
        ("shape", "transmitters", "receivers", "detectors", "relays", "switches", "fibre, km", "cost", "a user"),
        [(name, *_cost_cells(one, plan.num_users)) for name, one in found.items()],
    )
    show_table(
        console,
        "What it gives",
        (
            "shape",
            "trusted",
            "relay fails",
            "switch fails",
            "each, bit/s",
            "all, kbit/s",
            "alone, kbit/s",
        ),
        [(name, *_gain_cells(one)) for name, one in found.items()],
    )
    console.print(
        "  trusted: relays that know a key of two users, mean and most (in a ring these are the other users); relay or "
        "switch fails: pairs of others that lose their way with the worst one; each, all: when all "
        f"{plan.num_users * (plan.num_users - 1) // 2} pairs ask at once; alone: one pair, of users opposite each "
        f"other; a switch stays {DWELL_S:g} s on a pair",
        soft_wrap=True,
    )
    if keyless := [name for name, one in found.items() if one is not None and not one.pairs]:
        console.print(
            f"  no keys: no two users have any in these shapes, whose fibres lose too much: {'; '.join(keyless)}; take "
            "a shorter --radius-km, fibre of a smaller --db-per-km or another --system",
            soft_wrap=True,
        )
    _print_told(prices)


def _cost_cells(one: Measured | None, num_users: int) -> tuple[str, ...]:
    if one is None:
        return ("too many users", *("-",) * 7)
    bill = one.bill
    return (
        *(str(count) for count in (bill.transmitters, bill.receivers, bill.detectors, bill.relays, bill.switches)),
        f"{bill.fibre_km:,.0f}",
        f"{bill.cost:,.0f}",
        f"{bill.cost / num_users:,.1f}",
    )


def _gain_cells(one: Measured | None) -> tuple[str, ...]:
    if one is None:
        return ("-",) * 6
    return (
        f"{one.trust.mean:.1f}, {one.trust.most}",
        _lost_cell(one.relay_loss, one.pairs) if one.bill.relays else "no relay",
        _lost_cell(one.switch_loss, one.pairs) if one.bill.switches else "no switch",
        f"{one.each_bits_per_s:,.0f}",
        f"{one.total_bits_per_s / 1e3:,.1f}",
        f"{one.alone_bits_per_s / 1e3:,.1f}",
    )


def _lost_cell(lost: int, pairs: int) -> str:
    return f"{lost / pairs:.0%}" if pairs else "no keys"


def _print_told(prices: Prices) -> None:
    console = people_console(is_answer=True)
    for line in (RATES_TOLD, PRICES_TOLD, f"prices: {_price_line(prices)}"):
        console.print(f"  {line}", soft_wrap=True, highlight=False)
