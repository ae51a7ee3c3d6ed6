"""``qanat plan shares`` and what other commands say of guarantees."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.networks import load_network
from qanat.apps.shares_review import PromiseReview, SharesReview, shares_of
from qanat.apps.sky import elements_of
from qanat.ground.network.satellites import COMPARED_AS_BITS_PER_S
from qanat.ground.units import format_rate
from qanat.planning.limits import link_rates
from qanat.planning.pass_rates import pass_rates

MOST_ROWS = 40
"""So many pairs are printed for people, those with the least first; ``--json`` has all."""


def run_shares(name: str, *, as_json: bool) -> int:
    """Print how a network's pairs share its links when all ask at once. Returns 0; 1 for a guarantee not admitted."""
    network = load_network(name)
    of_passes = pass_rates(network, elements_of(network)) if network.downlinks else {}
    found = shares_of(network, link_rates(network) | of_passes)
    if as_json:
        told = {"of_satellites_bits_per_s": of_passes, **asdict(found), "provenance": "predicted"}
        print(json.dumps({"network": network.name, **told}, indent=2))
    else:
        _print_shares(network.title or network.name, found, of_satellites=bool(of_passes))
    return 0 if all(promise.is_admitted for promise in found.promises) else 1


def promise_lines(promises: Sequence[PromiseReview]) -> Iterator[str]:
    """Yield a line for each guarantee, in the order of the file."""
    for promise in promises:
        asked, most = format_rate(promise.guaranteed_bits_per_s), format_rate(promise.possible_bits_per_s)
        verdict = "admitted" if promise.is_admitted else "NOT admitted"
        yield f"guarantee {promise.pair}: {asked} {verdict}; at most {most} could be promised (predicted)"


def _print_shares(title: str, found: SharesReview, *, of_satellites: bool) -> None:
    console = people_console(is_answer=True)
    console.print(f"[bold]{title}[/]: shares when all ask at once (predicted)", highlight=False)
    declared = (
        "declared" if found.is_declared else "the default; the file declares no sharing, so keys go the widest way"
    )
    console.print(
        f"  alpha {found.alpha:g} ({declared}); "
        if isinstance(found.alpha, float)
        else f"  {found.alpha} ({declared}); ",
        end="",
    )
    console.print(f"at most {found.gap:.2%} of the optimum is missing; Jain's index {found.jain_index:.3f}")
    for line in promise_lines(found.promises):
        console.print(f"  {line}", soft_wrap=True)
    joined = [share for share in found.shares if share.ways]
    if found.pairs_left_out:
        console.print(
            f"  {found.pairs_left_out:,} more pairs could ask and are left out: they are too many", soft_wrap=True
        )
    if apart := [share.pair for share in found.shares if not share.ways]:
        console.print(f"  {len(apart):,} pairs have no way and no share, such as {apart[0]}", soft_wrap=True)
    if of_satellites:
        console.print(
            "  links of satellites share what their passes give in the mean of a week; the running controller counts "
            f"each as {format_rate(COMPARED_AS_BITS_PER_S)}",
            soft_wrap=True,
            highlight=False,
        )
    rows = sorted(joined, key=lambda share: share.bits_per_s)[:MOST_ROWS]
    show_table(
        console,
        f"The {len(rows)} least of {len(joined):,} pairs, in each direction",
        ("pair", "rate", "ways", "the widest of them"),
        [
            (
                share.pair,
                format_rate(share.bits_per_s),
                str(len(share.ways)),
                f"{format_rate(share.ways[0][1])} over {len(share.ways[0][0]) - 1} links",
            )
            for share in rows
        ],
    )
