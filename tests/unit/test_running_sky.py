"""Weather in the running sky: passes that are lost to clouds are told, and come to the odds that the file declares."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest

from interop.satellite_house import TEXT
from qanat.apps import sky as sky_module
from qanat.apps.satellite_review import review_sky
from qanat.apps.sky import MadePass, Sky
from qanat.ground.errors import NetworkFileError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network, network_yaml, parse_network
from qanat.ground.network.exchange.graphml import from_graphml, graphml
from qanat.ground.orders import PassForecast
from qanat.ground.randomness import SeededChance
from qanat.orbits.weather import Sky as Chain
from qanat.quantum_layer.pass_plan import plan_passes
from qanat.quantum_layer.pass_weather import draw_clear, odds_of_clear

NANSHAN, XINGLONG = NodeId("nanshan"), NodeId("xinglong")
HOUR = 3600.0


def network(odds: str = "", *, station: str = "nanshan") -> Network:
    """Two stations, of which one declares its sky."""
    at = f"name: {station}, kind: relay,"
    assert at in TEXT
    return parse_network(TEXT.replace(at, f"{at} {odds}" if odds else at), source="test")


TIMETABLES: dict[str, Any] = {}
"""By the text of their network: a week takes a second."""


class _Pool:
    """Runs jobs at once."""

    async def run(self, job: Any, /, *, priority: int = 0) -> Any:
        if job.function is not plan_passes:
            return job.function(*job.arguments)
        text = network_yaml(job.arguments[0])
        if text not in TIMETABLES:
            TIMETABLES[text] = job.function(*job.arguments)
        return TIMETABLES[text]


class _Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[EventKind, Mapping[str, Any]]] = []

    def record(self, kind: EventKind, **data: Any) -> None:
        self.told.append((kind, data))


def a_sky(one: Network, *, seed: int = 1, told: list[PassForecast] | None = None) -> tuple[Sky, _Recorder, list[str]]:
    """A sky whose links make their block at once, its events, and the names of the passes that began on a link."""
    began: list[str] = []
    link = SimpleNamespace(
        has_made=lambda plan: plan.pass_id in began, begin=lambda plan: began.append(plan.pass_id), end=lambda: None
    )
    clock = SimpleNamespace(monotonic_s=lambda: 0.0, utc_s=lambda: 1e9)
    recorder = _Recorder()
    sky = Sky(
        one,
        cast(Any, {LinkId("micius-nanshan"): link, LinkId("micius-xinglong"): link}),
        pool=cast(Any, _Pool()),
        clock=cast(Any, clock),
        recorder=cast(Any, recorder),
        chance=SeededChance(seed),
        on_foretold=lambda passes: None if told is None else told.extend(passes),
    )
    return sky, recorder, began


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sky_module, "LINGER_S", 0.0)
    monkeypatch.setattr(sky_module, "TOLD_EVERY_S", 0.0)


def passes_of(sky: Sky, count: int) -> list[MadePass]:
    async def scene() -> list[MadePass]:
        return [one for _ in range(count) if (one := await sky.next_pass()) is not None]

    return asyncio.run(scene())


def test_passes_are_foretold_as_long_as_the_last_one_took_here_beside_those_that_have_been() -> None:
    told: list[PassForecast] = []
    sky, _, _ = a_sky(network(), told=told)
    now = itertools.count(0.0, 2.0)
    sky._clock = cast(Any, SimpleNamespace(monotonic_s=lambda: next(now), utc_s=lambda: 1e9))

    async def scene() -> None:
        first = await sky.next_pass()
        assert first is not None
        assert first.took_s > 0
        await sky._foretell(5.0)
        been, *coming = told
        assert (been.station, been.rise_utc_s, been.set_utc_s) == (first.plan.station, 1e9 - first.took_s, 1e9)
        assert been.expected_bits == first.plan.forecast.expected_bits
        for place, one in enumerate(coming[:3]):
            rise_s = 1e9 + 5.0 + place * (5.0 + first.took_s)
            assert (one.rise_utc_s, one.set_utc_s) == pytest.approx((rise_s, rise_s + first.took_s))

    asyncio.run(scene())


@pytest.mark.slow
def test_where_nothing_is_declared_every_pass_is_clear() -> None:
    sky, recorder, began = a_sky(network())
    made = passes_of(sky, 12)
    assert all(one.is_clear and one.plan.p_clear == 1.0 for one in made)
    assert len(began) == len(made) == len(recorder.told)
    assert {kind for kind, _ in recorder.told} == {EventKind.SATELLITE_SET}


def test_a_clouded_pass_begins_on_no_link_and_is_told_with_its_odds() -> None:
    sky, recorder, began = a_sky(network("p_clear: 0, mean_clear_h: 10,"))
    made = passes_of(sky, 12)
    lost = [one.plan for one in made if not one.is_clear]
    assert {plan.station for plan in lost} == {NANSHAN}
    assert {one.plan.station for one in made if one.is_clear} == {XINGLONG}
    assert began == [one.plan.pass_id for one in made if one.is_clear]
    told = [data for kind, data in recorder.told if kind is EventKind.SATELLITE_CLOUDED]
    assert [data["pass_id"] for data in told] == [plan.pass_id for plan in lost]
    assert all(
        data["p_clear"] == 0.0 and data["lost_bits"] == plan.expected_bits
        for data, plan in zip(told, lost, strict=True)
    )


@pytest.mark.slow
def test_the_share_of_clear_passes_comes_to_the_declared_odds_and_the_same_seed_draws_the_same() -> None:
    one = network("p_clear: 0.3, mean_clear_h: 2,")
    runs = [passes_of(a_sky(one, seed=seed)[0], 200) for seed in (1, 1, 2)]
    skies = [[each.is_clear for each in run if each.plan.station == NANSHAN] for run in runs]
    assert skies[0] == skies[1] != skies[2]
    # about 100 draws, nearly independent (memory of 1.4 hours, passes 1.5 and more apart): five standard deviations
    for sky in skies[1:]:
        assert abs(sum(sky) / len(sky) - 0.3) < 5 * math.sqrt(0.3 * 0.7 / len(sky))


@pytest.mark.slow
def test_each_time_that_the_timetable_begins_anew_the_weather_is_another() -> None:
    sky, _, _ = a_sky(network("p_clear: 0.5, mean_clear_h: 1,"))
    able = len([plan for plan in asyncio.run(sky.plan()) if plan.expected_bits])
    drawn = [one.is_clear for one in passes_of(sky, 3 * able)]
    assert len({tuple(drawn[turn * able : (turn + 1) * able]) for turn in range(3)}) == 3


@pytest.mark.slow
def test_each_time_that_the_timetable_begins_anew_its_passes_make_key_again() -> None:
    sky, _, began = a_sky(network())
    able = len([plan for plan in asyncio.run(sky.plan()) if plan.expected_bits])
    made = passes_of(sky, 2 * able + 1)
    assert len(began) == len(set(began)) == len(made) == 2 * able + 1, "a pass makes key once: each has its own id"
    assert made[able].plan.rise_utc_s - made[0].plan.rise_utc_s == sky_module.DAYS * 86_400
    assert all(one.gave_key and one.waited_s > 0 for one in made[1:])


@pytest.mark.slow
def test_the_controller_hears_of_each_pass_its_mean_and_its_odds() -> None:
    clear, cloudy = (plan_passes(network(odds), {}, 3.0, 1.0) for odds in ("", "p_clear: 0.25,"))
    for one, other in zip(clear, cloudy, strict=True):
        p_clear = 0.25 if one.station == NANSHAN else 1.0
        assert one.forecast.p_clear == 1.0
        assert other.forecast.p_clear == p_clear
        assert other.expected_bits == one.expected_bits
        assert other.forecast.expected_bits == math.floor(one.expected_bits * p_clear)


def test_spells_last_clear_now_is_clear_an_hour_later() -> None:
    """Two passes an hour apart, in spells of 24 hours at even odds: both are alike as often as the chain says."""
    one = network("p_clear: 0.5, mean_clear_h: 24,")
    moments = [(NANSHAN, 0.0), (NANSHAN, HOUR)]
    draws = [draw_clear(one, moments, SeededChance(seed)) for seed in range(1000)]
    alike = sum(now == later for now, later in draws) / len(draws)
    keep = math.exp(-1 / Chain((0.5,), 24.0).memory_h())
    assert abs(alike - (1 + keep) / 2) < 5 * math.sqrt(0.04 * 0.96 / len(draws))
    assert odds_of_clear(one, [*moments, (XINGLONG, 2 * HOUR)]) == pytest.approx([0.5, 0.5, 1.0])


def test_check_tells_the_mean_over_the_weather_beside_a_clear_sky() -> None:
    rows = {row.station: row for row in review_sky(network("p_clear: 0.4,"), now_utc_s=0.0).downlinks}
    assert rows["nanshan"].p_clear == pytest.approx(0.4)
    assert rows["nanshan"].mean_bits == pytest.approx(0.4 * rows["nanshan"].secret_bits, abs=1)
    assert (rows["xinglong"].p_clear, rows["xinglong"].mean_bits) == (1.0, rows["xinglong"].secret_bits)


def test_twelve_odds_are_a_month_each_and_written_and_read_again_they_are_the_same() -> None:
    months = [0.1 * month / 2 for month in range(12)]
    one = network(f"p_clear: {months}, mean_clear_h: 30,")
    assert one.site(NANSHAN).p_clear == tuple(months)
    assert parse_network(network_yaml(one), source="written") == one
    assert from_graphml(graphml(one), name="by-satellite", system="backbone-625", source="test") == one


@pytest.mark.parametrize("odds", ["1.5", "-0.1", "[0.5, 0.5]", "often", "[0.5, yes]"])
def test_odds_that_are_none_are_refused(odds: str) -> None:
    with pytest.raises(NetworkFileError, match="no odds of a clear sky") as refused:
        network(f"p_clear: {odds},")
    assert "one share from 0 to 1" in refused.value.remedy


def test_a_satellite_has_no_sky_of_its_own() -> None:
    with pytest.raises(NetworkFileError, match="no sky of its own"):
        parse_network(TEXT.replace("elements: micius}", "elements: micius, p_clear: 0.5}"), source="test")
