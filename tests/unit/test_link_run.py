"""A link for so many seconds: figures that can be had again, key at both ends, and what is said when there is none."""

from __future__ import annotations

import json
import re
import tracemalloc
from dataclasses import replace

import pytest

from qanat.apps.cli.link import OpticsOptions, run_link_command
from qanat.ground.errors import ConfigurationError
from qanat.ground.randomness import SeededChance
from qanat.physics.analytic import link_model
from qanat.physics.systems import SYSTEMS, system_named
from qanat.quantum_layer.link_plan import LinkTask, plan_blocks
from qanat.quantum_layer.link_run import LinkFigures, run_link
from qanat.simulation.entropy import SimulationEntropy

NEAR = LinkTask(system="backbone-625", loss_db=6.0, seconds=1.6)
"""One block of 2^20 bits, in a second of light and a little."""


def run(task: LinkTask, seed: int = 1) -> LinkFigures:
    chance = SeededChance(seed)
    return run_link(task, chance=chance, entropy=SimulationEntropy(chance.child("entropy")))


def greatest_drift(figures: LinkFigures) -> float:
    assert figures.qber is not None
    return max(abs((part or 0.0) - figures.qber) for part in figures.qber_by_part)


def test_both_ends_have_the_same_key_and_the_figures_fit_the_model() -> None:
    figures, model = run(NEAR), link_model(system_named(NEAR.system), loss_db=NEAR.loss_db)
    assert figures.all_held
    assert figures.pulses == 1_000_000_000
    assert figures.num_blocks == 1
    assert figures.key_bits == figures.block_bits >= 2**19
    assert 0.1 * figures.key_bits < figures.secret_bits < 0.5 * figures.key_bits
    assert figures.sifted_bits == pytest.approx(model.sifted_rate_per_s(0) * 1.6, rel=0.005)
    assert figures.qber == pytest.approx(model.qber(0), rel=0.05)
    assert figures.f_ec is not None
    assert 1 < figures.f_ec < 1.12
    assert figures.leaked_bits > 0


@pytest.mark.slow
def test_the_modified_hash_gives_as_much_key_from_the_same_light() -> None:
    full, modified = run(NEAR), run(replace(NEAR, amplification="modified-toeplitz"))
    assert modified.all_held
    assert (modified.secret_bits, modified.leaked_bits) == (full.secret_bits, full.leaked_bits)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result_and_another_one_another() -> None:
    assert run(NEAR) == run(NEAR)
    assert run(NEAR).detections != run(NEAR, seed=2).detections


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_makes_key_at_photon_level(system: str) -> None:
    seconds = 1.6 if SYSTEMS[system].source.pulse_rate_hz > 1e8 else 12.0
    figures = run(LinkTask(system=system, loss_db=5.8, seconds=seconds))
    assert figures.all_held, figures.alarms
    assert figures.secret_bits > 10_000


def test_where_the_time_is_too_short_it_says_how_long_would_do() -> None:
    task = LinkTask(system="backbone-625", loss_db=16.0, seconds=0.5)
    figures = run(task)
    (alarm,) = figures.alarms
    assert alarm.code == "TooShort"
    assert (figures.secret_bits, figures.keys_identical, figures.all_held) == (0, None, False)
    assert figures.sifted_bits > 100_000  # the light is counted all the same
    told = re.match(r"(\d+) s would do; (\d+) s fill a block of 4,194,304 bits", alarm.remedy)
    assert told is not None
    assert plan_blocks(replace(task, seconds=float(told[1]))).alarm is None
    assert plan_blocks(replace(task, seconds=float(told[2]))).block_bits == 2**22


def test_a_time_of_several_blocks_is_filled() -> None:
    task = LinkTask(system="backbone-625", loss_db=16.0, seconds=60.0)
    plan = plan_blocks(task)
    assert plan.num_blocks == 3
    assert 0.9 * task.seconds < plan.num_blocks * plan.block_time_s <= task.seconds


def test_a_link_that_gives_no_key_says_so() -> None:
    figures = run(LinkTask(system="metro-40-i", loss_db=40.0, seconds=1.0))
    assert [alarm.code for alarm in figures.alarms] == ["NoSecretKey"]
    assert figures.secret_bits == 0


def test_somebody_on_the_line_ends_in_an_alarm_and_without_key() -> None:
    figures = run(replace(NEAR, disturbance=0.08))
    assert [alarm.code for alarm in figures.alarms] == ["QberTooHigh"]
    assert figures.secret_bits == 0
    assert figures.qber == pytest.approx(0.084, abs=0.002)
    assert figures.pulses == 1_000_000_000


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"system": "backbone-626"}, "known systems"),
        ({"loss_db": -1.0}, "0 to 100 dB"),
        ({"loss_db": float("nan")}, "0 to 100 dB"),
        ({"seconds": 0.0}, "link's own time"),
        ({"seconds": 1e-10}, "from one pulse"),
        ({"seconds": float("inf")}, "link's own time"),
        ({"disturbance": 0.6}, "0 to 0.5"),
    ],
)
def test_bad_parameters_are_refused_with_the_remedy(change: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        replace(NEAR, **change)  # type: ignore[arg-type]
    assert remedy in refusal.value.remedy


def test_the_command_prints_json_alone_and_its_status_tells(capsys: pytest.CaptureFixture[str]) -> None:
    stated = OpticsOptions(calibrate=False)
    options = {
        "loss_db": NEAR.loss_db,
        "seconds": NEAR.seconds,
        "seed": 4,
        "disturbance": 0.0,
        "as_json": True,
        "optics": stated,
    }
    assert run_link_command(NEAR.system, **options) == 0  # type: ignore[arg-type]
    told = json.loads(capsys.readouterr().out)
    assert {
        *("pulses", "detections", "sifted_bits", "qber", "leaked_bits", "f_ec", "secret_bits"),
        *("keys_identical", "alarms", "pulses_per_s"),
    } <= set(told)
    assert told["keys_identical"] is True
    assert run_link_command(NEAR.system, **(options | {"seconds": 0.1})) == 1  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out)["alarms"][0]["code"] == "TooShort"


def test_the_command_shows_people_the_alarm_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    stated = OpticsOptions(calibrate=False)
    assert (
        run_link_command("metro-40-ii", loss_db=5.8, seconds=0.1, seed=1, disturbance=0.0, as_json=False, optics=stated)
        == 1
    )
    out = capsys.readouterr().out
    assert "alarm TooShort" in out
    assert "would do" in out
    with pytest.raises(ConfigurationError, match="no seed"):
        run_link_command("metro-40-ii", loss_db=5.8, seconds=0.1, seed=-1, disturbance=0.0, as_json=True)


def test_memory_does_not_grow_with_the_time() -> None:
    """Three times the light, once the open chunks are as many as they may be, takes no more memory."""
    peaks = []
    for seconds in (20.0, 60.0):
        tracemalloc.start()
        run(LinkTask(system="metro-40-i", loss_db=25.0, seconds=seconds))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.slow
def test_a_minute_of_the_backbone_keeps_its_slots() -> None:
    """QBER of each tenth within 0.05 % of the whole: more than 5 sigma of 1.4 million bits at 0.77 %."""
    figures = run(LinkTask(system="backbone-625", loss_db=16.0, seconds=60.0))
    assert figures.all_held
    assert figures.pulses == 37_500_000_000
    assert greatest_drift(figures) < 0.0005


@pytest.mark.campaign
def test_an_hour_of_the_backbone_keeps_its_slots_and_its_memory() -> None:
    """2.25 million million pulses; the tenths hold 86 million bits, so a drift of 0.05 % would be 60 sigma."""
    tracemalloc.start()
    figures = run(LinkTask(system="backbone-625", loss_db=16.0, seconds=3600.0))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert figures.all_held
    assert figures.pulses == 2_250_000_000_000
    assert greatest_drift(figures) < 0.0005
    assert peak_bytes < 1e9


@pytest.mark.slow
@pytest.mark.parametrize("charged", [False, True])
def test_people_are_told_the_method_and_whether_replies_are_charged(
    charged: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"loss_db": 6.0, "seconds": 1.6, "seed": 1, "disturbance": 0.0, "optics": OpticsOptions(calibrate=False)}
    common = {**options, "reconciliation": "winnow", "charge_replies": charged}
    assert run_link_command("backbone-625", as_json=True, **common) == 0  # type: ignore[arg-type]
    record = json.loads(capsys.readouterr().out)
    assert record["charges_replies"] is charged
    assert record["leaked_bits"] == record["reply_bits"] * (1 + charged), "as many bits either way, with Winnow"
    assert 1.25 < record["f_ec"] < 1.4, "what Alice told, charged or not"
    assert run_link_command("backbone-625", as_json=False, **common) == 0  # type: ignore[arg-type]
    out = " ".join(capsys.readouterr().out.split())
    assert "block parities, Hamming codes, permutations" in out
    assert ("of Bob's replies)" in out) is charged
    assert ("not charged" in out) is not charged
