"""Light of a pass as counts and key, its text, and the best source for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import differential_evolution

from qanat.ground.errors import ConfigurationError, RequestError
from qanat.orbits.circular import circular_track
from qanat.orbits.downlink import link_budget
from qanat.orbits.nature2021 import downlink, figure_3a
from qanat.orbits.pass_light import block_counts, block_length, expected_light, passes_for_key
from qanat.orbits.pass_optimum import (
    HIGHEST,
    LOWEST,
    moments_of,
    optimal_source,
    point_of,
    secret_lengths,
)
from qanat.orbits.track_csv import read_track, station_in, write_pass
from qanat.physics.analytic import link_model
from qanat.physics.micius import MICIUS, micius_system, under_dimmed_sky
from qanat.physics.source_modes import STANDARD_2017
from qanat.physics.telescope import NANSHAN
from qanat.protocols.decoy import DecoyProtocolArrays, SecurityParameters
from qanat.protocols.deviation import Method
from qanat.protocols.finite_key import both_bases, secret_length

TRACK = circular_track(altitude_km=500, max_elevation_deg=80, step_s=10.0)
BUDGET = link_budget(TRACK, downlink(), MICIUS)
LIGHT = expected_light(MICIUS, BUDGET)


def test_every_second_has_what_the_link_model_says_of_its_loss() -> None:
    model = link_model(MICIUS, loss_db=float(BUDGET.link_loss_db(MICIUS)[3]))
    assert LIGHT.clicks[3] == pytest.approx(10 * 200e6 * model.sifted_per_pulse())
    assert LIGHT.sifted_rate_bits_per_s[3] == pytest.approx(model.sifted_rate_per_s(0))
    assert LIGHT.qber_by_step[3] == pytest.approx(model.qber(0))
    assert LIGHT.sifted_bits == pytest.approx(10 * LIGHT.sifted_rate_bits_per_s.sum())


def test_all_seconds_at_once_have_what_the_link_model_says_of_each_also_under_a_sky_that_is_half_covered() -> None:
    shares = np.where(np.arange(BUDGET.sky_share.size) % 3 == 0, 0.5, 1.0)
    light = expected_light(MICIUS, replace(BUDGET, sky_share=shares))
    losses_db = BUDGET.link_loss_db(MICIUS)
    for step in np.flatnonzero(BUDGET.is_tracked):
        system = MICIUS if shares[step] == 1 else under_dimmed_sky(MICIUS, 0.5)
        model = link_model(system, loss_db=float(losses_db[step]))
        assert light.clicks[step] == pytest.approx(2e9 * model.sifted_per_pulse(), rel=1e-12)
        assert light.errors[step] == pytest.approx(2e9 * model.sifted_errors_per_pulse(), rel=1e-12)


def test_the_length_of_a_pass_is_that_of_the_proof_that_keys_are_made_by() -> None:
    counts = block_counts([LIGHT])
    found = block_length(counts, LIGHT.protocol, proof="hoeffding", f_ec=1.1)
    leaked = round(found.terms["leaked"])
    assert found.num_bits == secret_length(counts, LIGHT.protocol, SecurityParameters(), leaked_bits=leaked).num_bits
    assert found.num_bits > 0


def test_many_protocols_at_once_give_the_length_of_each() -> None:
    """The proof on arrays of intensities and odds is the proof on numbers; to the last digits of float64."""
    counts, protocol = block_counts([LIGHT]), LIGHT.protocol
    many = DecoyProtocolArrays(
        tuple(np.full(3, mu) for mu in protocol.intensities),  # type: ignore[arg-type]
        tuple(np.full(3, p) for p in protocol.p_intensities),  # type: ignore[arg-type]
    )
    security = SecurityParameters()
    one = both_bases(counts, protocol, security, leaked_bits=1e6)
    three = both_bases(counts, many, security, leaked_bits=1e6)
    assert three.length == pytest.approx([one.length] * 3, rel=1e-12)


def test_two_passes_in_one_block_give_more_than_twice_the_key_of_one() -> None:
    one, two = (
        block_length(block_counts([LIGHT] * n), LIGHT.protocol, proof="hoeffding", f_ec=1.1).num_bits for n in (1, 2)
    )
    assert two > 2 * one


def test_passes_of_different_sources_are_not_joined() -> None:
    other = expected_light(micius_system(STANDARD_2017), BUDGET)
    with pytest.raises(RequestError, match="one source mode"):
        block_counts([LIGHT, other])
    with pytest.raises(RequestError, match="no pass"):
        block_counts([])


def test_passes_of_stations_with_different_splitters_are_not_joined() -> None:
    system = micius_system(ground=replace(NANSHAN, p_rectilinear=0.5))
    with pytest.raises(RequestError, match="different splitters"):
        block_counts([LIGHT, expected_light(system, BUDGET)])


def test_moments_that_are_not_evenly_spaced_are_refused() -> None:
    times = TRACK.utc_s.copy()
    times[5] += 1.0
    with pytest.raises(RequestError, match="evenly spaced"):
        expected_light(MICIUS, replace(BUDGET, track=replace(TRACK, utc_s=times)))


def test_a_pass_that_was_written_can_be_read_and_gives_the_same_light() -> None:
    text = write_pass(BUDGET, LIGHT, secret_bits=1000)
    track, measured = read_track(text, source="pass.csv", satellite="micius", station="nanshan")
    again = link_budget(track, downlink(), MICIUS, measured=measured)
    assert np.array_equal(again.total_db, BUDGET.total_db)
    assert np.array_equal(expected_light(MICIUS, again).clicks, LIGHT.clicks)


def test_results_beside_terms_without_a_format_are_refused() -> None:
    """So a version wrote that had no prefix for its model's terms: they would pass for measured."""
    text = write_pass(BUDGET, LIGHT, secret_bits=1000)
    rows = [line.split(",", 1) for line in text.splitlines()]
    assert {row[0] for row in rows} == {"pass_format", "2"}
    old = (
        "\n".join(row[1] for row in rows)
        .replace("model_", "")
        .replace("secret_by_sifted_bits_per_s", "secret_bits_per_s")
    )
    with pytest.raises(ConfigurationError, match=r"total_db and so on.*no column pass_format") as refused:
        read_track(old, source="old.csv", satellite="micius", station="nanshan")
    assert "take the results out" in refused.value.remedy
    with pytest.raises(ConfigurationError, match="pass_format is not 2 throughout"):
        read_track(text.replace("\n2,", "\n3,", 1), source="new.csv", satellite="micius", station="nanshan")


def test_results_without_terms_need_no_format() -> None:
    text = "time_s,range_km,elevation_deg,total_db\n0,1000,20,30\n1,1000,20,30\n"
    track, measured = read_track(text, source="a.csv", satellite="micius", station="nanshan")
    assert len(track) == 2
    assert not measured


@pytest.mark.parametrize(
    ("max_elevation_deg", "altitude_km", "proof"), [(12, 1200, "hoeffding"), (10, 1000, "chernoff")]
)
def test_so_many_passes_give_key_and_one_fewer_none(max_elevation_deg: float, altitude_km: float, proof: str) -> None:
    track = circular_track(altitude_km=altitude_km, max_elevation_deg=max_elevation_deg)
    light = expected_light(MICIUS, link_budget(track, downlink(), MICIUS))
    needed = passes_for_key(light, proof=proof, f_ec=1.1, most=1000)
    assert needed is not None
    assert needed > 1

    def bits(times: int) -> int:
        return block_length(block_counts([light] * times), light.protocol, proof=proof, f_ec=1.1).num_bits

    assert (bits(needed) > 0, bits(needed - 1)) == (True, 0)
    assert passes_for_key(light, proof=proof, f_ec=1.1, most=needed - 1) is None
    assert passes_for_key(LIGHT, proof=proof, f_ec=1.1, most=1000) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no heading"),
        ("time_s,range_km,elevation_deg\n0,1000,20\n1,x,20\n", "a.csv:3: this is no pass: range_km is no number"),
        ("time_s,range_km,elevation_deg\n0,1000,20\n1,1000\n", "elevation_deg is no number"),
        ("time_s,range_km\n0,1000\n1,1000\n", "no column elevation_deg"),
        ("range_km,elevation_deg\n1000,20\n1000,20\n", "no column utc_s or time_s"),
        ("time_s,range_km,elevation_deg,fog_db\n0,1,1,1\n1,1,1,1\n", "'fog_db', which nobody knows"),
        ("time_s,time_s,range_km,elevation_deg\n0,0,1,1\n1,1,1,1\n", "a column twice"),
        ("time_s,range_km,elevation_deg\n0,1000,-2\n1,1000,20\n", "below the horizon"),
        ("time_s,range_km,elevation_deg\n0,0,2\n1,1000,20\n", "not above 0 km"),
    ],
)
def test_texts_that_are_no_pass_are_refused_with_their_line_or_column(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        read_track(text, source="a.csv", satellite="micius", station="nanshan")
    assert "range_km" in refused.value.remedy


def test_the_short_model_of_the_search_agrees_with_the_full_one() -> None:
    paper = figure_3a()
    full = block_length(block_counts([paper.light]), paper.light.protocol, proof="hoeffding", f_ec=1.1).num_bits
    found = optimal_source(paper.system, [paper.budget])
    assert found.secret_bits_before == pytest.approx(full, rel=1e-3)
    better = expected_light(replace(paper.system, source=found.source), paper.budget)
    full_better = block_length(block_counts([better]), better.protocol, proof="hoeffding", f_ec=1.1).num_bits
    assert full_better == pytest.approx(found.secret_bits, rel=2e-3)
    assert full_better > 1.1 * full


@pytest.mark.parametrize("max_elevation_deg", [25.0, 80.0])
def test_a_general_search_finds_no_better_source(max_elevation_deg: float) -> None:
    track = circular_track(altitude_km=500, max_elevation_deg=max_elevation_deg)
    budget = link_budget(track, downlink(), MICIUS)
    moments, found = moments_of(MICIUS, [budget]), optimal_source(MICIUS, [budget])

    def miss(points: np.ndarray) -> np.ndarray:
        lengths = secret_lengths(
            np.atleast_2d(points.T), moments, f_ec=1.1, security=SecurityParameters(), method=Method.HOEFFDING
        )
        return -lengths

    bounds = list(zip(LOWEST, HIGHEST, strict=True))
    best = differential_evolution(miss, bounds, vectorized=True, updating="deferred", rng=1, tol=1e-9)
    assert found.secret_bits > 0.997 * -best.fun


def test_a_source_is_a_point_of_the_search_and_a_pass_without_light_has_no_best_one() -> None:
    assert np.all((point_of(MICIUS.source) >= LOWEST) & (point_of(MICIUS.source) <= HIGHEST))
    with pytest.raises(RequestError, match="no pass"):
        optimal_source(MICIUS, [])
    dark = link_budget(TRACK, downlink(), MICIUS, measured={"geometry": np.full(len(TRACK), 70.0)})
    with pytest.raises(RequestError, match="secret key"):
        optimal_source(MICIUS, [dark])


def test_a_pass_that_was_written_names_its_station_and_an_old_one_none() -> None:
    track = replace(TRACK, station="a roof, in the town")
    text = write_pass(replace(BUDGET, track=track), LIGHT, secret_bits=1000)
    assert station_in(text, source="pass.csv") == "a roof, in the town"
    read_track(text, source="pass.csv", satellite="micius", station="nanshan")
    old = "time_s,range_km,elevation_deg\n0,1000,20\n1,1000,20\n"
    assert station_in(old, source="old.csv") == station_in("", source="none.csv") == ""
    mixed = "time_s,range_km,elevation_deg,station\n0,1000,20,a\n1,1000,20,b\n"
    with pytest.raises(ConfigurationError, match="it is of several stations: 'a', 'b'"):
        station_in(mixed, source="mixed.csv")
