"""Budget of a downlink, passes on circles, tracking cameras: sums, replacements, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.ground.errors import ConfigurationError, RequestError
from qanat.orbits.circular import circular_track, elevation_at
from qanat.orbits.downlink import TERMS, link_budget
from qanat.orbits.earth import MEAN_KM
from qanat.orbits.nature2021 import downlink
from qanat.orbits.pass_light import expected_light
from qanat.orbits.pass_optimum import optimal_source
from qanat.orbits.tracking import TrackingCamera, follow
from qanat.physics.atmosphere import Air, Turbulence
from qanat.physics.micius import FITTED, MICIUS, micius_system
from qanat.physics.telescope import NANSHAN

TRACK = circular_track(altitude_km=500, max_elevation_deg=80, step_s=10.0)


def test_the_terms_add_up_to_the_total_and_the_systems_receiver_is_part_of_it() -> None:
    way = replace(downlink(), air=Air(rule="table", turbulence=Turbulence()))
    budget = link_budget(TRACK, way, MICIUS)
    assert list(budget.terms_db) == list(TERMS)
    assert np.abs(sum(budget.terms_db.values()) - budget.total_db).max() < 1e-9
    assert min(float(losses.min()) for losses in budget.terms_db.values()) >= 0
    inside = MICIUS.receiver.loss_db - 10 * math.log10(np.mean(MICIUS.counted_efficiencies))
    assert budget.link_loss_db(MICIUS) == pytest.approx(budget.total_db - inside, abs=1e-9)
    assert set(budget.origins) == set(TERMS)


@pytest.mark.parametrize("term", TERMS)
def test_a_measured_column_takes_the_place_of_every_term(term: str) -> None:
    plain = link_budget(TRACK, downlink(), MICIUS)
    column = np.linspace(20.0, 25.0, len(TRACK))
    budget = link_budget(TRACK, downlink(), MICIUS, measured={term: column})
    assert np.array_equal(budget.terms_db[term], column)
    assert budget.total_db == pytest.approx(plain.total_db - plain.terms_db[term] + column, abs=1e-9)
    assert budget.origins[term] == "input: a measured column"


@pytest.mark.parametrize(("term", "changes"), [("optics", {"optics": 0.3}), ("filter", {"filter_share": 0.1})])
def test_a_measured_receiver_gives_the_light_that_the_same_receiver_gives_as_a_record(
    term: str, changes: dict[str, float]
) -> None:
    """The sky is in front of both: it is dimmed with the signal, and the error rate is the same."""
    ground = replace(NANSHAN, **changes)
    system = micius_system(ground=ground)
    by_record = expected_light(system, link_budget(TRACK, downlink(ground), system))
    (share,) = changes.values()
    column = np.full(len(TRACK), -10 * math.log10(share))
    budget = link_budget(TRACK, downlink(), MICIUS, measured={term: column})
    by_column = expected_light(MICIUS, budget)
    assert by_column.sifted_bits == pytest.approx(by_record.sifted_bits, rel=1e-9)
    assert by_column.qber == pytest.approx(by_record.qber, rel=1e-9)
    with pytest.raises(RequestError, match="light of the sky"):
        optimal_source(MICIUS, [budget])


def test_a_measured_detector_dims_the_sky_and_a_measured_coupling_does_not() -> None:
    column = np.full(len(TRACK), 9.0)
    detector, coupling = (
        link_budget(TRACK, downlink(), MICIUS, measured={term: column}) for term in ("detector", "coupling")
    )
    assert detector.sky_share == pytest.approx(10**-0.9 / 0.5, rel=1e-6)
    assert np.all(coupling.sky_share == 1)


@pytest.mark.parametrize(
    ("measured", "words"),
    [
        ({"fog": np.zeros(len(TRACK))}, "no term"),
        ({"geometry": np.zeros(3)}, "does not fit"),
        ({"geometry": np.full(len(TRACK), np.nan)}, "does not fit"),
        ({"atmosphere": np.full(len(TRACK), -3.0)}, "a loss of -3 dB, a gain"),
    ],
)
def test_columns_that_cannot_be_are_refused(measured: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        link_budget(TRACK, downlink(), MICIUS, measured=measured)


def test_a_total_below_the_receivers_own_loss_is_refused() -> None:
    nothing = dict.fromkeys(TERMS, np.zeros(len(TRACK)))
    budget = link_budget(TRACK, downlink(), MICIUS, measured=nothing)
    with pytest.raises(ConfigurationError, match="less than the receiver's own"):
        budget.link_loss_db(MICIUS)


def test_a_pass_below_the_horizon_is_refused() -> None:
    with pytest.raises(RequestError, match="below the horizon"):
        link_budget(replace(TRACK, elevation_deg=TRACK.elevation_deg - 10), downlink(), MICIUS)


def test_more_air_is_more_loss_near_the_horizon_and_less_key() -> None:
    way = downlink()
    thicker = replace(way, air=Air(rule="fitted", fitted_db=FITTED.air_db + 0.1))
    one, other = (link_budget(TRACK, each, MICIUS) for each in (way, thicker))
    more = other.total_db - one.total_db
    assert more.min() == pytest.approx(0.1, rel=0.03)
    assert more.max() > 0.9
    light, dimmer = (expected_light(MICIUS, each) for each in (one, other))
    assert dimmer.sifted_bits < 0.97 * light.sifted_bits


def test_with_the_exposure_loop_the_link_reaches_down_to_five_degrees_and_without_it_is_lost_on_the_way() -> None:
    way = downlink()
    fixed = replace(way, camera=TrackingCamera(follows=False))
    assert link_budget(TRACK, way, MICIUS).is_tracked.all()
    budget = link_budget(TRACK, fixed, MICIUS)
    lost = TRACK.range_km[~budget.is_tracked]
    assert lost.min() > 1200  # as far as links reached before, and no farther than 2,000 km
    assert lost.min() < 2000
    light = expected_light(MICIUS, budget)
    assert light.clicks[~budget.is_tracked].sum() == 0
    assert light.sifted_bits < expected_light(MICIUS, link_budget(TRACK, way, MICIUS)).sifted_bits


def test_the_loop_keeps_the_spot_near_its_target_and_within_the_camera_s_limits() -> None:
    camera = TrackingCamera()
    seen = follow(camera, range_km=TRACK.range_km, air_loss_db=np.zeros(len(TRACK)))
    assert seen.signal == pytest.approx(camera.target, rel=0.35)
    assert seen.exposure_ms.max() > 10 * seen.exposure_ms.min()
    assert camera.exposure_ms[0] <= seen.exposure_ms.min() <= seen.exposure_ms.max() <= camera.exposure_ms[1]


def test_an_exposure_for_the_horizon_saturates_overhead() -> None:
    camera = TrackingCamera(follows=False, reference_exposure_ms=1.0, full_signal=40_000.0)
    seen = follow(camera, range_km=TRACK.range_km, air_loss_db=np.zeros(len(TRACK)))
    assert not seen.is_tracked[len(TRACK) // 2]
    assert seen.is_tracked[0]


def test_a_circle_s_pass_obeys_the_law_of_cosines_and_its_rate_is_the_slope_of_its_range() -> None:
    fine = circular_track(altitude_km=500, max_elevation_deg=55, step_s=1.0)
    sine = np.sin(np.radians(fine.elevation_deg))
    radius = np.sqrt(MEAN_KM**2 + fine.range_km**2 + 2 * MEAN_KM * fine.range_km * sine)
    assert radius == pytest.approx(MEAN_KM + 500, rel=1e-12)
    assert fine.elevation_deg.max() == pytest.approx(55, abs=0.05)
    assert fine.elevation_deg.min() == pytest.approx(5, abs=0.1)
    slope = np.gradient(fine.range_km, fine.utc_s)
    assert fine.range_rate_km_per_s[1:-1] == pytest.approx(slope[1:-1], abs=2e-3)
    assert elevation_at(altitude_km=500, range_km=float(fine.range_km[7])) == pytest.approx(fine.elevation_deg[7])


@pytest.mark.parametrize(
    "wrong",
    [
        {"altitude_km": 50.0},
        {"altitude_km": math.nan},
        {"max_elevation_deg": 91.0},
        {"max_elevation_deg": 4.0},
        {"least_elevation_deg": 90.0},
        {"step_s": 0.0},
        {"step_s": 1e4},
    ],
)
def test_passes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(RequestError):
        circular_track(**{"altitude_km": 500.0, "max_elevation_deg": 80.0, **wrong})  # type: ignore[arg-type]


def test_a_satellite_is_never_nearer_than_it_is_high() -> None:
    with pytest.raises(RequestError, match="never 400 km"):
        elevation_at(altitude_km=500, range_km=400)


def test_both_descriptions_of_the_air_say_that_they_know_no_height() -> None:
    fitted, table, given = (
        link_budget(TRACK, replace(downlink(), air=air), MICIUS).origins["atmosphere"]
        for air in (
            Air(rule="fitted", fitted_db=0.7),
            Air(rule="table"),
            Air(rule="fitted", fitted_db=0.9, origin="input"),
        )
    )
    assert "over Nanshan, 2,080 m high, taken for every station" in fitted
    assert "down to sea level whatever the station's height" in table
    assert "Nanshan" not in given
