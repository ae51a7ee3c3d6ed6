"""A run from its terms, and all runs with one part removed in turn. Same terms, same answer, whoever works it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from qanat.control.forecasting import Forecasts
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network, SharingRules
from qanat.ground.network.extracts import without_satellites
from qanat.ground.network.second_backbone import BACKBONE, with_second_backbone
from qanat.ground.orders import PassForecast
from qanat.ground.randomness import SeededChance
from qanat.simulation.day.demand import Demand, Requests, draw_pairs, draw_requests, joined_pairs
from qanat.simulation.day.engine import Day
from qanat.simulation.day.faults import Part, Removal, parts_in_turn
from qanat.simulation.day.full_load import Reached, full_load
from qanat.simulation.day.passes import mean_rates
from qanat.simulation.day.plan import DAY_S, DayPlan
from qanat.simulation.day.shared_day import SharedDay
from qanat.simulation.day.tally import DayResult, Detour

MOST_DAYS = 366
MOST_READY_BLOCKS = 100


@dataclass(frozen=True, slots=True)
class DayTerms:
    """What a run is of: the network as it stands, who asks how much, from which seed, for how many days.

    ``ready_blocks``: so many lie ready on each link at the beginning, as in a network that has run before. With none it
    is switched on at that moment, and in its first hour users behind switches wait in turn for their first block.
    ``forecasts``: what comes of links, in seconds of the run; the policy is told if ``is_foreseen``. ``passes``: of
    satellites, in the same seconds, with the bits that come of them; those before the run have been. Without any,
    satellites are left out.
    """

    network: Network
    demand: Demand
    seed: int = 1
    num_days: int = 1
    ready_blocks: int = 1
    forecasts: Forecasts = field(default_factory=Forecasts)
    is_foreseen: bool = True
    passes: tuple[PassForecast, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.num_days <= MOST_DAYS:
            raise ConfigurationError(f"{self.num_days} days", remedy=f"give 1 to {MOST_DAYS} days")
        if not 0 <= self.ready_blocks <= MOST_READY_BLOCKS:
            raise ConfigurationError(
                f"{self.ready_blocks} blocks ready on each link", remedy=f"give 0 to {MOST_READY_BLOCKS}"
            )

    @property
    def flown(self) -> Network:
        """The network of the run: that on the ground alone where satellites have no passes."""
        return self.network if self.passes else without_satellites(self.network)


def simulate(terms: DayTerms, removals: Sequence[Removal] = (), *, second_backbone: bool = False) -> DayResult:
    """Run the days; raises ConfigurationError for what is not there, BooksDisagree when the books do not hold.

    Who asks for what, and when, is drawn from the network as it stands: it is the same whatever is removed or added.
    """
    plan = _plan(terms, with_second_backbone(terms.flown) if second_backbone else terms.flown)
    horizon_s = terms.num_days * DAY_S
    if late := [removal.name for removal in removals if removal.at_s >= horizon_s]:
        raise ConfigurationError(f"{late[0]!r} would be taken out after the run", remedy="give a time within its days")
    day = (Day if plan.network.sharing is None else SharedDay)(
        plan,
        _requests(terms),
        demand=terms.demand,
        horizon_s=horizon_s,
        removals=removals,
        ready_blocks=terms.ready_blocks,
        forecasts=terms.forecasts,
        is_foreseen=terms.is_foreseen,
        passes=terms.passes,
    )
    return day.run()


def _plan(terms: DayTerms, network: Network) -> DayPlan:
    rates = mean_rates(network, terms.passes, until_s=terms.num_days * DAY_S)
    return DayPlan(network, pass_rates_bits_per_s=rates)


def load(terms: DayTerms, *, call_bits: int) -> Reached:
    """Let the pairs of the terms ask without end for keys of so many bits, one a call; who they are is drawn as for
    ``simulate``. A network that declares no sharing has the default rules.

    Raises ConfigurationError as ``full_load``."""
    network = terms.network
    if network.sharing is None:
        network = network.model_copy(update={"sharing": SharingRules()})
    plan = DayPlan(network)
    chance = SeededChance(terms.seed).child("day")
    pairs = draw_pairs(network, terms.demand, rates_bits_per_s=plan.rates, chance=chance)
    return full_load(plan, pairs, key_bits=call_bits, seed=terms.seed)


def _requests(terms: DayTerms) -> Requests:
    chance = SeededChance(terms.seed).child("day")
    rates = _plan(terms, terms.flown).rates
    pairs = draw_pairs(terms.flown, terms.demand, rates_bits_per_s=rates, chance=chance)
    return draw_requests(pairs, terms.demand, num_days=terms.num_days, chance=chance)


def count_pairs(terms: DayTerms) -> int:
    """Return how many pairs of sites with applications a route joins: no more can ask."""
    return len(joined_pairs(terms.flown, rates_bits_per_s=_plan(terms, terms.flown).rates))


@dataclass(frozen=True, slots=True)
class Case:
    """One run of many: with or without a second backbone, and the part that is removed; None: none is."""

    part: Part | None
    second_backbone: bool


@dataclass(frozen=True, slots=True)
class Row:
    """What came of a case. ``others``: all but those who hang on the part that was removed."""

    case: Case
    success_rate: float
    success_rate_of_others: float
    own_pairs: int
    pairs_cut_off: int
    mean_wait_s: float
    longest_wait_s: float
    num_routes: int
    longest_detour: Detour | None


def cases_of(network: Network) -> tuple[Case, ...]:
    """Return all cases of a network: nothing removed, then each part in turn; the same with a second backbone, and each
    relay of that, where there is a backbone that it can close to a ring."""
    cases = [Case(part, False) for part in (None, *parts_in_turn(network))]
    if any(site.counted_as == BACKBONE for site in network.sites):
        cases += [Case(part, True) for part in (None, *parts_in_turn(with_second_backbone(network)))]
    return tuple(cases)


def run_case(terms: DayTerms, case: Case, at_s: float = 0.0, for_s: float | None = None) -> Row:
    """Run a case: the part is out from ``at_s`` on, for ``for_s`` seconds or to the end."""
    removals = [] if case.part is None else [Removal(case.part.name, at_s, for_s)]
    result = simulate(terms, removals, second_backbone=case.second_backbone)
    total, others = result.together(with_own=True), result.together(with_own=False)
    return Row(
        case=case,
        success_rate=total.success_rate,
        success_rate_of_others=others.success_rate,
        own_pairs=result.pairs.get("own", 0),
        pairs_cut_off=result.pairs_cut_off,
        mean_wait_s=total.mean_wait_s,
        longest_wait_s=total.longest_wait_s,
        num_routes=len(result.routes),
        longest_detour=result.longest_detour,
    )
