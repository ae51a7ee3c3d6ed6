"""Whose turn it is at the ports of the all-pass switches. Pure, and part of the policy.

A link through switches keeps a port at each of its ends, and the trunks between; of links that share one of these only
one can run. Turning to another costs time, most of it the new link's calibration. So:

1. A link that somebody has waited for too long (``Policy.most_wait_s``) goes first, the longest wait before the others.
   Where the ports of the first of them are busy they are kept free for it, so that it starts when the orders that run
   there end. Of that one alone: kept for all, a fifth of the ports of a full switch would stand idle. Each area of
   ports has such a first one: two links are of one area if they share a port, or others lead from one to the other.
2. Then the higher priority goes first.
3. Then a link that is soon to give less than is spent of it, as long as it lacks what must lie ready by then.
4. Then the link that the switches stand for, until it has made enough for its turn to have been worth its cost.
5. Then the link with the least time of work for each demand that it meets, turning and calibration included (Smith's
   rule, which on one machine gives the least sum of waiting times; Naval Research Logistics Quarterly 3, 59, 1956).
6. Then who has waited longest, then who has got least.

With its order a link's wait begins anew, so the number of those that are before it in rule 1 only falls: nobody who
waits is passed over for ever, however much is asked elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qanat.control.forecasting import is_short_for_gap
from qanat.control.views import LinkView, Policy
from qanat.ground.identifiers import LinkId


@dataclass(frozen=True, slots=True)
class Need:
    """A link that demands wait for: how many, the highest of their priorities, and what they lack there together.

    ``lack_bits``: of block, both directions together. ``is_pressing``: what lacks for a gap must be made now.
    """

    link_id: LinkId
    link: LinkView
    num_demands: int
    priority: int
    lack_bits: int
    is_pressing: bool = False


class Ports:
    """Which ports and trunks are in use, or kept free for the first of their area."""

    def __init__(self, *, running: Iterable[LinkView], wanted: Iterable[LinkView]) -> None:
        self._taken = {port for link in running for port in link.kept}
        self._reserved: set[str] = set()
        self._areas = areas_of([link.kept for link in wanted if link.kept])
        self._with_first: set[str] = set()

    def take(self, link: LinkView) -> bool:
        """Take what a link keeps, and return True; False, and nothing is taken, where another has some of it."""
        if not link.kept.isdisjoint(self._taken | self._reserved):
            return False
        self._taken |= link.kept
        return True

    def reserve(self, link: LinkView) -> None:
        """Keep a link's ports free, unless there is an earlier one of its area for whom that is done."""
        area = self._areas[min(link.kept)]
        if area not in self._with_first:
            self._with_first.add(area)
            self._reserved |= link.kept


def in_turn(needs: Sequence[Need], ports: Ports, policy: Policy) -> list[LinkId]:
    """Return which links through switches are to be set to work now, and take their ports.

    needs: links without an order that could have one.
    """
    overdue = [need for need in needs if need.link.waited_s >= policy.most_wait_s]
    chosen: list[LinkId] = []
    for need in sorted(overdue, key=lambda need: (-need.link.waited_s, need.link_id)):
        if ports.take(need.link):
            chosen.append(need.link_id)
        else:
            ports.reserve(need.link)
    are_rates_known = all(need.link.rate_bits_per_s > 0 for need in needs)
    others = [need for need in needs if need.link.waited_s < policy.most_wait_s]
    ranked = sorted(others, key=lambda need: _rank(need, policy, are_rates_known))
    return chosen + [need.link_id for need in ranked if ports.take(need.link)]


def in_idle_time(links: Mapping[LinkId, LinkView], room: int, ports: Ports, policy: Policy) -> list[LinkId]:
    """Return which of some links, ``room`` at most, are to be set to work for idle time, and take their ports.

    First go those that lack for a gap, the next gap before the others, then the emptiest, of equally empty ones the one
    that fills faster; links that the switches stand for go on until their turn is paid. If others have ports of the
    first, they are kept free for it: otherwise the same few pairs would be filled for ever, since what comes free are
    their ports alone.
    """
    chosen: list[LinkId] = []
    for link_id in sorted(links, key=lambda one: _idle_rank(one, links[one], policy)):
        if len(chosen) >= room:
            break
        if ports.take(links[link_id]):
            chosen.append(link_id)
        else:
            ports.reserve(links[link_id])
    return chosen


def areas_of(links: Iterable[frozenset[str]]) -> dict[str, str]:
    """Return for each port that some links keep which area it is of; an area goes by the name of one of its ports."""
    members: dict[str, set[str]] = {}
    for kept in links:
        together = set(kept).union(*(members.get(port, ()) for port in kept))
        members.update(dict.fromkeys(together, together))
    return {port: min(together) for port, together in members.items()}


def turn_is_paid(link: LinkView, policy: Policy) -> bool:
    """Return whether a link has made so much since the switches were turned to it that others may have its ports."""
    return not link.is_set or link.blocks_in_turn >= turn_blocks(link, policy)


def turn_blocks(link: LinkView, policy: Policy) -> int:
    """Return for how many blocks a link goes on, so that turning takes no more than its share of the time."""
    cost_s = link.turn_s + policy.recalibration_s
    if not link.block_bits or link.rate_bits_per_s <= 0:
        return policy.max_blocks_per_order
    work_s = cost_s * (1 - policy.turning_share) / policy.turning_share
    return max(1, math.ceil(work_s * link.rate_bits_per_s / link.block_bits))


def _idle_rank(link_id: LinkId, link: LinkView, policy: Policy) -> tuple[bool, float, int, float, LinkId]:
    goes_on = link.is_set and not turn_is_paid(link, policy)
    gap_in_s = link.gap_in_s if is_short_for_gap(link) else math.inf
    return not goes_on, gap_in_s, link.least_bits, -link.rate_bits_per_s, link_id


def _rank(need: Need, policy: Policy, are_rates_known: bool) -> tuple[int, float, int, float, float, int, LinkId]:
    link = need.link
    goes_on, is_late = link.is_set and not turn_is_paid(link, policy), link.is_set and turn_is_paid(link, policy)
    stage = 0 if goes_on else 2 if is_late else 1
    work_s = float(need.lack_bits)
    if are_rates_known:
        work_s = need.lack_bits / link.rate_bits_per_s
        work_s += 0.0 if link.is_set else link.turn_s + policy.recalibration_s
    per_demand_s = work_s / max(1, need.num_demands)
    closes_in_s = link.gap_in_s if need.is_pressing else math.inf
    return -need.priority, closes_in_s, stage, per_demand_s, -link.waited_s, link.blocks_got, need.link_id
