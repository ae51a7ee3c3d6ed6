"""The sky over a network on this machine: satellites' passes, one after the other, without waiting for them.

Between two passes lie hours, of which nothing is waited out but a pause: what is compressed is the waiting, and the
light, which twins draw faster than it would shine. Which passes there are, how high, how far and through which losses
follows from the satellites' elements; they come in the order of the timetable, each once. Where the network file
declares odds of a clear sky, whether it is clear is drawn, anew each time the timetable begins; a clouded pass brings
neither key nor words, and is told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from qanat.apps.networks import elements_text
from qanat.ground.events import EventKind
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.orders import PassForecast
from qanat.ground.ports import Chance, Clock, Job, KernelPool
from qanat.ground.tracing import EventRecorder
from qanat.quantum_layer.pass_link import PassLink
from qanat.quantum_layer.pass_plan import PassPlan, draw_skies, plan_passes

DAYS: Final = 7.0
"""Of the timetable; it begins with the satellites' elements, and begins anew at its end."""
TOLD_EVERY_S: Final = 0.5
LONGEST_S: Final = 300.0
"""A pass in which nobody makes key ends after this time."""
FIRST_TAKES_S: Final = 10.0
"""About what a pass takes here, of which none has been yet: its hundreds of seconds are left out, too."""
MOST_KEPT: Final = 64
"""Of so many passes that have been it is reckoned what they have left aboard."""
LINGER_S: Final = 3.0
"""A satellite is still seen so long after its key is stored, so that it can say and hear what has waited."""


@dataclass(frozen=True, slots=True)
class MadePass:
    """A pass that is over. waited_s: what would have been waited for it, since the last one or since the timetable
    began. took_s: how long it took here. is_clear: whether there was any light in it. gave_key: whether its block lies
    at both ends."""

    plan: PassPlan
    waited_s: float
    took_s: float
    is_clear: bool = True
    gave_key: bool = True


class Sky:
    """Makes passes in the order of the timetable."""

    def __init__(
        self,
        network: Network,
        links: Mapping[LinkId, PassLink],
        *,
        pool: KernelPool,
        clock: Clock,
        recorder: EventRecorder,
        chance: Chance,
        light_share: float = 1.0,
        on_foretold: Callable[[Sequence[PassForecast]], None] = lambda _: None,
    ) -> None:
        """``chance``: of the weather. ``light_share``: of each pass so much light is used, the part nearest to the
        station; 1: all of it.
        ``on_foretold``: hears of the passes to come, at the times at which they come here."""
        self.made: list[MadePass] = []
        self._network = network
        self._links = links
        self._pool = pool
        self._clock = clock
        self._recorder = recorder
        self._chance = chance
        self._light_share = light_share
        self._on_foretold = on_foretold
        self._plans: Sequence[PassPlan] = ()
        self._is_clear: Sequence[bool] = ()
        self._next = 0
        self._took_s = FIRST_TAKES_S
        self._been = deque[PassForecast](maxlen=MOST_KEPT)
        self._sky_utc_s = 0.0

    async def plan(self, *, days: float = DAYS) -> Sequence[PassPlan]:
        """Return the timetable, worked out at the first call; raises ConfigurationError, BadParameter."""
        if not self._plans:
            job: Job[Iterable[PassPlan]] = Job(
                plan_passes, (self._network, elements_of(self._network), days, self._light_share)
            )
            self._plans = tuple(await self._pool.run(job))
            self._sky_utc_s = self._plans[0].rise_utc_s if self._plans else 0.0
        return self._plans

    async def next_pass(self) -> MadePass | None:
        """Make the next pass that is expected to give key under a clear sky, or lose it to clouds; None where the
        timetable has none."""
        able = [plan for plan in await self.plan() if plan.expected_bits]
        if not able:
            return None
        times_over, place = divmod(self._next, len(able))
        if place == 0:
            self._is_clear = await self._drawn(able, times_over)
        self._next += 1
        plan = _again(able[place], times_over)
        return await self._make(plan) if self._is_clear[place] else self._lose(plan)

    async def run(self, *, pause_s: float) -> None:
        """Make passes for ever, with a pause before each."""
        while True:
            await self._foretell(pause_s)
            await asyncio.sleep(pause_s)
            if await self.next_pass() is None:
                return

    async def _drawn(self, able: Sequence[PassPlan], times_over: int) -> Sequence[bool]:
        """Return of each pass of the timetable whether it is clear, this time."""
        if all(plan.p_clear == 1 for plan in able):
            return [True] * len(able)
        job: Job[list[bool]] = Job(draw_skies, (self._network, able, self._chance.child("weather", times_over)))
        return await self._pool.run(job)

    async def _foretell(self, pause_s: float) -> None:
        """Tell of the passes to come, one after each pause and as long as the last one took here: hours between them,
        and most of their own time, are left out. Those that were before are told with them."""
        able = [plan for plan in await self.plan() if plan.expected_bits]
        coming = [able[(self._next + place) % len(able)] for place in range(len(able))]
        rise_s, told = self._clock.utc_s() + pause_s, list(self._been)
        for plan in coming:
            set_s = rise_s + self._took_s
            told.append(replace(plan.forecast, rise_utc_s=rise_s, set_utc_s=set_s))
            rise_s = set_s + pause_s
        self._on_foretold(told)

    async def _make(self, plan: PassPlan) -> MadePass:
        link, began_s = self._links[plan.link_id], self._clock.monotonic_s()
        try:
            while not link.has_made(plan) and self._clock.monotonic_s() - began_s < LONGEST_S:
                link.begin(plan)
                await asyncio.sleep(TOLD_EVERY_S)
            await asyncio.sleep(LINGER_S)
        finally:
            link.end()
        made = self._over(plan, took_s=self._clock.monotonic_s() - began_s, gave_key=link.has_made(plan))
        now_s, self._took_s = self._clock.utc_s(), made.took_s
        if made.gave_key:
            self._been.append(replace(plan.forecast, rise_utc_s=now_s - made.took_s, set_utc_s=now_s))
        self._recorder.record(
            EventKind.SATELLITE_SET,
            link_id=plan.link_id,
            pass_id=plan.pass_id,
            rise_utc_s=plan.rise_utc_s,
            set_utc_s=plan.set_utc_s,
            waiting_left_out_s=made.waited_s,
            took_s=made.took_s,
        )
        return made

    def _lose(self, plan: PassPlan) -> MadePass:
        lost = self._over(plan, took_s=0.0, is_clear=False, gave_key=False)
        self._recorder.record(
            EventKind.SATELLITE_CLOUDED,
            link_id=plan.link_id,
            pass_id=plan.pass_id,
            rise_utc_s=plan.rise_utc_s,
            set_utc_s=plan.set_utc_s,
            p_clear=plan.p_clear,
            lost_bits=plan.expected_bits,
            waiting_left_out_s=lost.waited_s,
        )
        return lost

    def _over(self, plan: PassPlan, *, took_s: float, gave_key: bool, is_clear: bool = True) -> MadePass:
        waited_s = max(0.0, plan.rise_utc_s - self._sky_utc_s)
        self._sky_utc_s = plan.set_utc_s
        over = MadePass(plan, waited_s, took_s, is_clear, gave_key)
        self.made.append(over)
        return over


def _again(plan: PassPlan, times_over: int) -> PassPlan:
    """Return a pass of the timetable as it comes when that begins anew: later, and so with another id: a pass makes key
    once."""
    later_s = times_over * DAYS * 86_400
    return replace(
        plan,
        rise_utc_s=plan.rise_utc_s + later_s,
        culmination_utc_s=plan.culmination_utc_s + later_s,
        set_utc_s=plan.set_utc_s + later_s,
    )


def elements_of(network: Network) -> dict[NodeId, str]:
    """Return the texts of the files that satellites name as their elements; raises ConfigurationError."""
    from qanat.orbits.network_file import names_a_file

    return {site.node: elements_text(site.elements) for site in network.satellites if names_a_file(site)}
