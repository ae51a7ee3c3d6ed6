"""``qanat plan NETWORK``: what it can carry, for whom, what is weak, and what less or more would change."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from qanat.apps.cli.plan_tables import print_plan
from qanat.apps.cli.shares import promise_lines
from qanat.apps.networks import load_network
from qanat.apps.shares_review import promises_of
from qanat.apps.sky import elements_of
from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.network.second_backbone import with_second_backbone
from qanat.planning.everyone import Everyone
from qanat.planning.limits import Limit, switch_of
from qanat.planning.pass_rates import pass_rates
from qanat.planning.prices import Prices, changed
from qanat.planning.review import PairFlow, Question, State, Weak, ends_of, lost_places, state
from qanat.planning.users import Consumption
from qanat.planning.variants import part_named, with_chain, with_span, without

TOLD = {
    "input": "taken from the paper (Nature 589, 214, 2021) or from the command",
    "predicted": "by formula (model): the analytic rate of each link at its loss in the network file, in its own "
    "amplification block; several pairs on a fibre give as many times one, links through a switch share its time",
    "cost": "by prices that are assumptions, in units of a transmitter, to be replaced by --price",
}


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What is asked, as it was typed."""

    name: str
    one: str | None = None
    other: str | None = None
    rate_kbit_per_s: float | None = None
    key_bits: int = 128
    keys_per_minute: float = 1.0
    without: tuple[str, ...] = ()
    spans: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    second_backbone: bool = False
    one_pair: bool = False
    prices: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """What is changed, in words."""
        return (
            *(f"without {part}" for part in self.without),
            *(f"with the span {span}" for span in self.spans),
            *(f"with the chain {chain}" for chain in self.chains),
            *(("with a second backbone",) if self.second_backbone else ()),
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A network as it is, and as it would be; ``after``: None where nothing is changed.

    alone: places that reach nobody only after; pairs_lost: of places that are there before and after.
    """

    options: NetworkOptions
    consumption: Consumption
    before: State
    after: State | None
    alone: tuple[NodeId, ...]
    pairs_lost: int

    @property
    def changes(self) -> tuple[str, ...]:
        return self.options.changes


def run_network(options: NetworkOptions, *, as_json: bool) -> int:
    """Print a plan. Returns 0."""
    found = planned(options)
    if as_json:
        print(json.dumps(record(found), indent=2))
    else:
        promises = promises_of(found.before.network, found.before.rates_bits_per_s)
        print_plan(found, TOLD, more=[*promise_lines(promises), *_lines_of_passes(found.before)])
    return 0


def _lines_of_passes(found: State) -> list[str]:
    """Return what satellites give to the plan, and which command says more."""
    lines = [
        f"{link.name}: {found.rates_bits_per_s[link.link_id]:,.1f} bit/s in the mean of a week of passes (predicted)"
        for link in found.network.links
        if link.kind == "announced"
    ]
    return [*lines, "more of satellites: `qanat network check`, `qanat plan satellites`"] if lines else []


def planned(options: NetworkOptions) -> Planned:
    """Return the figures of a network before and after what is changed; raises QanatError for what cannot be."""
    consumption = Consumption(options.key_bits, options.keys_per_minute)
    if options.rate_kbit_per_s is not None and not 0 <= options.rate_kbit_per_s < math.inf:
        raise BadParameter(
            f"--rate-kbit-s {options.rate_kbit_per_s:g} is no rate", remedy="give kbit/s, zero or more, such as 28.1"
        )
    network = load_network(options.name)
    rate = None if options.rate_kbit_per_s is None else round(options.rate_kbit_per_s * 1e3, 6)
    question = Question(
        ends=ends_of(network, options.one, options.other),
        consumption=consumption,
        rate_bits_per_s=rate,
        counts_pairs=not options.one_pair,
        prices=changed(Prices(), options.prices),
        pass_rates_bits_per_s=pass_rates(network, elements_of(network)) if network.downlinks else {},
    )
    other = _changed(network, options) if options.changes else None
    before = state(network, question)
    if other is None:
        return Planned(options, consumption, before, None, (), 0)
    after = state(other, question)
    return Planned(options, consumption, before, after, *lost_places(before, after))


def _changed(network: Network, options: NetworkOptions) -> Network:
    """Return the network with what is added, then without what is lost: a new part may be lost as well."""
    for text in options.spans:
        one, other, figures = _ends(text, "A,B,LOSS_DB[,SYSTEM[,PAIRS]]", least=1, most=3)
        system, pairs = _devices(figures[1:])
        network = with_span(network, one, other, loss_db=_number(figures[0], text), system=system, pairs=pairs)
    for text in options.chains:
        one, other, figures = _ends(text, "A,B,RELAYS,LOSS_DB[,SYSTEM[,PAIRS]]", least=2, most=4)
        system, pairs = _devices(figures[2:])
        num_relays, loss_db = _whole(figures[0], text), _number(figures[1], text)
        network = with_chain(network, one, other, num_relays=num_relays, loss_db=loss_db, system=system, pairs=pairs)
    if options.second_backbone:
        network = with_second_backbone(network)
    return without(network, [part_named(network, text) for text in options.without])


def _ends(text: str, form: str, *, least: int, most: int) -> tuple[NodeId, NodeId, list[str]]:
    one, *rest = (word.strip() for word in text.split(","))
    if not least < len(rest) <= most + 1:
        raise BadParameter(f"{text!r} has {len(rest) + 1} parts", remedy=f"write {form}, commas between and no blanks")
    return NodeId(one), NodeId(rest[0]), rest[1:]


def _devices(words: Sequence[str]) -> tuple[str, int]:
    return (words[0] if words else "backbone-625"), (_whole(words[1], words[1]) if len(words) > 1 else 1)


def _number(word: str, text: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise BadParameter(f"{word!r} in {text!r} is no number of dB", remedy="write a number, such as 16.0") from None


def _whole(word: str, text: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise BadParameter(f"{word!r} in {text!r} is no whole number", remedy="write one, such as 4") from None


# --- for machines ---


def record(found: Planned) -> dict[str, Any]:
    """Return a plan for machines."""
    options, consumption = found.options, found.consumption
    told: dict[str, Any] = {
        "network": found.before.network.name,
        "counts": "one pair of devices on each fibre" if options.one_pair else "all pairs of devices on each fibre",
        "consumption": {**asdict(consumption), "bits_per_s": consumption.bits_per_s},
        "pairs_of_users_served": [asdict(row) for row in found.before.served],
        "prices": asdict(changed(Prices(), options.prices)),
        "guarantees": [asdict(promise) for promise in promises_of(found.before.network, found.before.rates_bits_per_s)],
        "provenance": TOLD,
        "before": state_record(found.before),
        "changes": list(options.changes),
        "after": None,
    }
    if found.after is not None:
        told["after"] = {
            **state_record(found.after),
            "pairs_of_users_served": [asdict(row) for row in found.after.served],
            "pairs_lost": found.pairs_lost,
            "places_cut_off": list(found.alone),
        }
    return told


def state_record(one: State) -> dict[str, Any]:
    """Return a network's figures for machines."""
    return {
        "sites": len(one.network.sites),
        "links": len(one.network.links),
        "made_of": asdict(one.bill),
        "places": one.places,
        "pairs_of_places": one.pairs,
        "pairs_without_a_way": one.unreachable,
        "places_alone": list(one.alone),
        "between": None if one.between is None else _between_record(one, one.between),
        "everybody_at_once": None if one.everyone is None else _everyone_record(one, one.everyone),
        "of_satellites_bits_per_s": {
            link.link_id: round(one.rates_bits_per_s[link.link_id], 3)
            for link in one.network.links
            if not link.makes_key_on_order
        },
        "single_points": None if one.weak is None else [_weak_record(weak) for weak in one.weak],
    }


def _between_record(one: State, found: PairFlow) -> dict[str, Any]:
    return {
        "from": found.ends[0],
        "to": found.ends[1],
        "direct_keys_only": list(found.wary),
        "keys_avoid": sorted(found.policy.avoid),
        "domestic_keys_only": found.policy.domestic_only,
        "most_bits_per_s": found.flow.level_bits_per_s,
        "gap": found.flow.gap,
        "pairs_of_users_served": one.users_between,
        "minimum_cut": list(found.cut),
        "in_the_way": [_limit_record(one.network, limit) for limit in found.flow.binding],
        "lost_without_any_one_of": [asdict(part) for part in found.losses.all_of_it],
        "left_without": [{**asdict(part), "bits_per_s": left} for part, left in found.losses.left_bits_per_s],
        "links_in_use": {link: round(load, 3) for link, load in found.flow.loads_bits_per_s.items()},
        "provenance": "predicted",
    }


def _everyone_record(one: State, found: Everyone) -> dict[str, Any]:
    return {
        "pairs": found.pairs,
        "places_left_out": list(found.left_out),
        "each_bits_per_s": found.flow.level_bits_per_s,
        "gap": found.flow.gap,
        "in_the_way": [_limit_record(one.network, limit) for limit in found.flow.binding],
        "provenance": "predicted",
    }


def _limit_record(network: Network, limit: Limit) -> dict[str, Any]:
    """``switch``: of a port, the one that it is on."""
    switch = {"switch": switch_of(network, limit.name)} if limit.kind == "port" else {}
    return {"kind": limit.kind, "name": limit.name, **switch}


def _weak_record(weak: Weak) -> dict[str, Any]:
    return {
        "kind": weak.loss.part.kind,
        "name": weak.loss.part.name,
        "pairs_lost": weak.loss.pairs_lost,
        "places_alone": list(weak.loss.alone),
        "flow_left_bits_per_s": weak.flow_left_bits_per_s,
    }
