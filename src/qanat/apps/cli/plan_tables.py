"""A plan as people read it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from rich.console import Console

from qanat.apps.cli.presentation import counted, people_console, show_table
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.units import format_rate
from qanat.planning.everyone import Everyone
from qanat.planning.limits import Limit, switch_of
from qanat.planning.prices import Bill
from qanat.planning.review import FlowLosses, PairFlow, State, Weak
from qanat.planning.users import Consumption

FEW = 10
"""So many weak parts are printed; ``--json`` has all."""
MOST_NAMES = 6
MOST_LOSSES = 3
MOST_PORTS = 5
WHAT = {"site": "relay", "link": "link", "switch": "switch"}
PLURAL = {"site": "relays", "switch": "switches", "link": "links"}


class PlanView(Protocol):
    """What is printed: a network before and after what is changed."""

    @property
    def consumption(self) -> Consumption: ...
    @property
    def before(self) -> State: ...
    @property
    def after(self) -> State | None: ...
    @property
    def alone(self) -> tuple[NodeId, ...]: ...
    @property
    def pairs_lost(self) -> int: ...
    @property
    def changes(self) -> tuple[str, ...]: ...


def print_plan(found: PlanView, told: Mapping[str, str], *, more: Sequence[str] = ()) -> None:
    """Print a plan to standard output; ``told``: what each provenance means; ``more``: lines to add before that."""
    console = people_console(is_answer=True)
    network = found.before.network
    console.print(f"[bold]{network.title or network.name}[/] ({network.name})", highlight=False)
    _print_served(console, found)
    if found.after is None:
        _print_state(console, found.before)
    else:
        _print_both(console, found, found.after)
    for line in more:
        console.print(f"  {line}", soft_wrap=True, highlight=False)
    for what, words in told.items():
        console.print(f"  {what}: {words}", soft_wrap=True, highlight=False)


def _print_served(console: Console, found: PlanView) -> None:
    if not found.before.served:
        console.print("  no bottleneck to count users by: no link on its own fibre gives key\n", highlight=False)
        return
    taken = found.consumption
    show_table(
        console,
        f"Pairs of users that a bottleneck serves, at {taken.key_bits} bits {taken.keys_per_minute:g} times a minute",
        ("bottleneck", "rate, kbit/s", "pairs of users", "the rate is"),
        [
            (row.what, _kilobits(row.rate_bits_per_s), f"{row.pairs_of_users:,}", row.provenance)
            for row in found.before.served
        ],
    )


def _kilobits(bits_per_s: float) -> str:
    """A satellite's mean may be a few hundredths of a kilobit per second."""
    return f"{bits_per_s / 1e3:,.{1 if bits_per_s >= 1e3 else 4}f}"


def _print_state(console: Console, one: State) -> None:
    for line in (
        _bill_line(one.bill),
        *_reach_lines(one),
        *_between_lines(one.network, one.between),
        *_everyone_lines(one.network, one.everyone),
    ):
        console.print(f"  {line}", soft_wrap=True, highlight=False)
    console.print()
    _print_weak(console, one, "What is weakest: parts whose loss leaves pairs of others without a way")


def _bill_line(made_of: Bill) -> str:
    aloft = f", satellites: {made_of.satellites}, telescopes: {made_of.telescopes}" if made_of.satellites else ""
    fibre = f"{made_of.fibre_km:,.0f} km of fibre{aloft}"
    return (
        f"made of {made_of.transmitters:,} transmitters, {made_of.receivers:,} receivers with {made_of.detectors:,} "
        f"detectors, {made_of.relays:,} relays, {made_of.switches} switches, {fibre}; "
        f"cost {made_of.cost:,.0f}{_unpriced(made_of)}"
    )


def _unpriced(made_of: Bill) -> str:
    if not made_of.unpriced:
        return ""
    how = " ".join(f"--price {name}=NUMBER" for name in made_of.unpriced)
    return f" without {' and '.join(f'{name}s' for name in made_of.unpriced)}, of which no price is assumed ({how})"


def _reach_lines(one: State) -> Iterator[str]:
    yield (
        f"{one.places} places want keys (users' sites, and others with applications); {one.pairs:,} of their "
        f"{one.pairs + one.unreachable:,} pairs can have them (predicted){_without(one)}"
    )
    if one.alone:
        yield f"reached by nobody: {few(one.alone)}"


def _without(one: State) -> str:
    """Say how many pairs are left, and why another command has another number of them."""
    if not one.unreachable:
        return ""
    return f"; {counted(one.unreachable, 'pair')} of places cannot (`qanat network check` counts pairs of applications)"


def _between_lines(network: Network, found: PairFlow | None) -> Iterator[str]:
    if found is None:
        return
    one, other = found.ends
    if not found.flow.level_bits_per_s:
        yield f"{one} - {other}: {_no_way(found)}"
        return
    ways = f"over all ways{_allowed(found) or ' together'}"
    if found.wary:
        ways = f"over their own link, since {_take_no_relay(found)}"
    yield (
        f"{one} - {other}: {format_rate(found.flow.level_bits_per_s)} at most, {ways} (predicted); "
        f"the way is narrowest at {in_the_way(network, found)}"
    )
    if any(limit.kind != "link" for limit in found.flow.binding):
        yield (
            "  a port, or a trunk, serves one link at a time, and their time is what is short: another fibre from one "
            "of these sites adds to it, or a second module there, on a port of its own (described as another site)"
        )
    yield from _loss_lines(found.losses)


def _no_way(found: PairFlow) -> str:
    if not found.wary:
        return f"no chain of trusted relays{_allowed(found)} joins them"
    return (
        f"no key, since {_take_no_relay(found)}, and no QKD link that gives key joins the two; name a site that a link "
        "or an optical switch joins to it, or put both on one switch in the network file"
    )


def _allowed(found: PairFlow) -> str:
    """Return which ways count, by what the two ends ask of their keys in the network file."""
    told = [f"past {', '.join(sorted(found.policy.avoid))}"] if found.policy.avoid else []
    told += ["within their region"] if found.policy.domestic_only else []
    return f" that lead {' and '.join(told)}, as the ends have it," if told else ""


def _take_no_relay(found: PairFlow) -> str:
    return f"{' and '.join(found.wary)} take{'s' if len(found.wary) == 1 else ''} keys over no relay"


def _loss_lines(losses: FlowLosses) -> Iterator[str]:
    if losses.all_of_it:
        kinds = [part.kind for part in losses.all_of_it]
        told = ", ".join(f"{kinds.count(kind)} {what}" for kind, what in PLURAL.items() if kind in kinds)
        yield f"  nothing of it is left without any one of the parts that it must pass: {told}"
    else:
        yield "  some of it survives the loss of any one relay, link or switch"
    if losses.left_bits_per_s:
        rest = [f"{format_rate(left)} without {part.name}" for part, left in losses.left_bits_per_s[:MOST_LOSSES]]
        yield f"  the dearest {'of all other ' if losses.all_of_it else ''}losses: {'; '.join(rest)}"


def in_the_way(network: Network, found: PairFlow) -> str:
    """Return the minimum cut in words; where switches are in the way, the ports and trunks that are used up."""
    return few(found.cut) if found.cut else _limits(network, found.flow.binding)


def _limits(network: Network, binding: Iterable[Limit]) -> str:
    """Return what is used up, what is worth most first. Of ports that are full by themselves no set is named."""
    single = [limit for limit in binding if limit.kind != "ports"]
    return few([_limit(network, limit) for limit in single or binding])


def _limit(network: Network, limit: Limit) -> str:
    if limit.kind == "port":
        return f"the port of {limit.name} on {switch_of(network, limit.name)}"
    if limit.kind == "ports":
        names = limit.name.split(", ")
        more = f" and {len(names) - MOST_PORTS} more" if len(names) > MOST_PORTS else ""
        return f"the ports of {' + '.join(names[:MOST_PORTS])}{more}, of which one is always left over"
    return f"the trunk {limit.name}" if limit.kind == "trunk" else limit.name


def _everyone_lines(network: Network, found: Everyone | None) -> Iterator[str]:
    if found is None:
        yield "what every pair can have at once is not worked out for so many places"
        return
    if found.pairs < 2:
        return
    each = found.flow.level_bits_per_s
    left_out = f"; left out, for direct keys only: {few(found.left_out)}" if found.left_out else ""
    yield (
        f"all {found.pairs:,} pairs at once: {format_rate(each)} each (predicted), a 128-bit key every "
        f"{_seconds(128 / each)}; full then: {_limits(network, found.flow.binding)}{left_out}"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def _print_weak(console: Console, one: State, title: str) -> None:
    if one.weak is None:
        console.print("  which parts are weak is not tried in so large a network", highlight=False)
        return
    if not one.pairs:
        console.print("  nobody can have keys with anybody, so nothing is weak\n", highlight=False)
        return
    if not one.weak:
        console.print("  no single relay, link or switch parts others when it fails\n", highlight=False)
        return
    ends = [] if one.between is None else [f"left {' - '.join(one.between.ends)}, kbit/s"]
    rows = [
        (
            weak.loss.part.name,
            WHAT[weak.loss.part.kind],
            f"{weak.loss.pairs_lost:,}",
            str(len(weak.loss.alone)),
            *(_left(weak) for _ in ends),
        )
        for weak in one.weak[:FEW]
    ]
    show_table(console, title, ("part", "is a", "pairs lost", "cut off from all", *ends), rows)
    if len(one.weak) > FEW:
        console.print(f"  and {len(one.weak) - FEW} more, of which --json tells\n", highlight=False)


def _left(weak: Weak) -> str:
    left = weak.flow_left_bits_per_s
    return "-" if left is None else f"{left / 1e3:,.1f}"


# --- before and after ---


def _print_both(console: Console, found: PlanView, after: State) -> None:
    before = found.before
    rows = [(what, *(tell(one) for one in (before, after))) for what, tell in _comparison()]
    show_table(console, f"What if: {'; '.join(found.changes)}", ("predicted", "as it is", "what if"), rows)
    between = before.between or after.between
    if between is not None and between.wary:
        told = f"{_take_no_relay(between)}: between the two ends only links that join them count"
        console.print(f"  {told}", soft_wrap=True, highlight=False)
    if found.pairs_lost:
        console.print(f"  without a way then: {found.pairs_lost:,} pairs of places that have one now", highlight=False)
    if found.alone:
        console.print(f"  cut off from all then: {few(found.alone)}", soft_wrap=True, highlight=False)
    if not (found.pairs_lost or found.alone):
        console.print("  nobody who is still there loses a way", highlight=False)
    console.print()
    _print_weak(console, after, "What is weakest then")


def _comparison() -> Sequence[tuple[str, Callable[[State], str]]]:
    return (
        ("cost", lambda one: f"{one.bill.cost:,.0f}{_unpriced(one.bill)}"),
        ("places", lambda one: str(one.places)),
        ("pairs of places that can have keys", lambda one: f"{one.pairs:,}"),
        ("pairs of places without a way", lambda one: f"{one.unreachable:,}"),
        ("most between the two ends", lambda one: _flow(one.between)),
        ("  narrowest at", lambda one: in_the_way(one.network, one.between) or "-" if one.between else "-"),
        ("  pairs of users it serves", _users),
        ("every pair at once", lambda one: _each(one.everyone)),
        ("relays that somebody needs", lambda one: _count(one, "site")),
        ("links that somebody needs", lambda one: _count(one, "link")),
        ("switches that somebody needs", lambda one: _count(one, "switch")),
    )


def _flow(found: PairFlow | None) -> str:
    return "an end is lost" if found is None else format_rate(found.flow.level_bits_per_s)


def _users(one: State) -> str:
    return "-" if one.between is None else f"{one.users_between:,}"


def _each(found: Everyone | None) -> str:
    return "-" if found is None else f"{format_rate(found.flow.level_bits_per_s)} x {found.pairs:,} pairs"


def _count(one: State, kind: str) -> str:
    count = one.num_weak(kind)
    return "-" if count is None else str(count)


def few(names: Sequence[str]) -> str:
    """Return names with commas between; of many the first six."""
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
