"""Polarization feedback: the controllers at Bob's undo what the fibre does, basis by basis.

The order is the paper's (Nature 589, 214, Methods): in windows of 50 ms, H until it counts 100 times V, then V until it
counts 100 times H; a basis in which both hold together is done, else an abnormality is recorded and the basis is
repeated. Then the same with the diagonal states and the second controller.

**How a squeezer is set.** It turns the sphere about its axis, so the wrong share of the light is a sine of its
retardance, exactly. Three windows determine the sine; the squeezer goes to its minimum. Four squeezers in turn converge
in one to three rounds, from anywhere.

**What a count says.** Dark clicks are measured with the laser off and taken away. What dead time hides is put back
(``physics.counting.fired_odds``); besides, the attenuator is set so that the detectors are live at least three quarters
of the time, where that correction is small and well known. Without it a bright detector sleeps and the ratio of counts
says less than 100:1, or, with dark clicks on the other side, nothing at all. A ratio counts as reached only when its
2-sigma lower bound over four windows that steered nothing is above 100:1.

**After-pulses** come in the detector that clicked before. One state is sent at a time, so both detectors of the basis
have them in proportion to their own clicks, in the dark too: all odds are too high by the same share, which no ratio
sees. What is left: where the next click is likely to come soon, it takes the charge away, so the bright detector has
fewer per click. At the brightness set here a ratio comes out 0.12 % too low for 1 % of after-pulses at 40 MHz, 0.13 %
for the 0.5 % of up-conversion detectors (tests hold it below 0.2 %).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from qanat.ground.errors import CalibrationFailed
from qanat.physics.counting import fired_odds
from qanat.quantum_layer.calibration.results import Extinction, Feedback, FeedbackPoint, Floats, Integers
from qanat.quantum_layer.calibration.session import Bench, Procedure
from qanat.quantum_layer.calibration.wire import Knobs, Light

WINDOW_S: Final = 0.05
TARGET_RATIO: Final = 100.0
MAX_ATTEMPTS: Final = 5
MAX_ROUNDS: Final = 4
CONFIRM_WINDOWS: Final = 4
DARK_WINDOWS: Final = 8
LIVE_AT_LEAST: Final = 0.75
ENOUGH_CLICKS: Final = 2000
"""Clicks per window of both detectors that a steering window needs: the wrong share is then known to 1 %. At 40 MHz
detectors that are live three quarters of the time give about as many."""
BASES: Final[tuple[tuple[Light, Light], ...]] = (("H", "V"), ("+", "-"))
FIRST_GOAL: Final = 0.7 / (1 + TARGET_RATIO)
"""Wrong share at which a state is taken for aligned, so that the confirmation finds 100:1 with its two sigmas."""
NEXT_GOAL: Final = 0.35 / (1 + TARGET_RATIO)
"""The same where the confirmation did not: whoever stood just below the first goal must move."""
COARSE_RAD: Final = 2 * math.pi / 3
FINE_RAD: Final = 0.5
FINE_BELOW: Final = 0.05
RESPONDS_SIGMA: Final = 6.0


@dataclass(slots=True)
class _Arm:
    """One basis at work: its number, dark odds of its two detectors, and what was seen."""

    basis: int
    dark: Floats
    points: list[FeedbackPoint] = field(default_factory=list)
    has_steered: bool = False
    greatest_response: float = 0.0
    live_fraction: float = 1.0


def align_polarization(bench: Bench) -> Procedure[Feedback]:
    """Align both bases; leaves the controllers set.

    Raises CalibrationFailed: no-light, controller-stuck, ratio-not-reached.
    """
    begun_s = bench.elapsed_s
    dark = yield from _dark_odds(bench)
    arms, found, attempts, brightness = [], [], [], []
    for basis in (0, 1):
        arm = _Arm(basis, dark[2 * basis : 2 * basis + 2])
        extinctions, tries = yield from _align_basis(bench, arm)
        arms.append(arm)
        found.append(extinctions)
        attempts.append(tries)
        brightness.append(bench.knobs.brightness_db)
    bench.shine(0.0)
    errors = [sum(one.p_wrong for one in pair) / 2 for pair in found]
    sigmas = [math.hypot(*(one.p_wrong_sigma for one in pair)) / 2 for pair in found]
    return Feedback(
        points=tuple(point for arm in arms for point in arm.points),
        extinctions=tuple(one for pair in found for one in pair),
        optical_errors=(errors[0], errors[1]),
        optical_error_sigmas=(sigmas[0], sigmas[1]),
        brightness_db=(brightness[0], brightness[1]),
        live_fraction=(arms[0].live_fraction, arms[1].live_fraction),
        attempts=(attempts[0], attempts[1]),
        link_time_s=bench.elapsed_s - begun_s,
    )


def _dark_odds(bench: Bench) -> Procedure[Floats]:
    bench.send("off")
    counts = yield from bench.count(DARK_WINDOWS * WINDOW_S)
    return fired_odds(counts, num_slots=bench.num_slots(DARK_WINDOWS * WINDOW_S), dead_slots=bench.info.hold_off_slots)


def _align_basis(bench: Bench, arm: _Arm) -> Procedure[tuple[Sequence[Extinction], int]]:
    one, other = BASES[arm.basis]
    bench.send(one)
    yield from _set_brightness(bench, arm)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        goal = FIRST_GOAL if attempt == 1 else NEXT_GOAL
        yield from _align_state(bench, arm, one, goal)
        yield from _align_state(bench, arm, other, goal)
        extinctions = []
        for state in (one, other):
            extinctions.append((yield from _confirm(bench, arm, state)))
        if all(each.ratio_lower >= TARGET_RATIO for each in extinctions):
            return extinctions, attempt
        reached = ", ".join(
            f"{each.state} {each.ratio:.0f}:1 (2-sigma bound {each.ratio_lower:.0f}:1)" for each in extinctions
        )
        bench.note(f"basis {one}/{other}: {reached} is not {TARGET_RATIO:.0f}:1; the basis is repeated")
        if arm.has_steered and arm.greatest_response < RESPONDS_SIGMA:
            raise CalibrationFailed(
                f"the polarization controller of basis {one}/{other} changes nothing",
                remedy="look at its driver and its cable; a controller at its end of travel needs a reset",
                code="controller-stuck",
            )
    raise CalibrationFailed(
        f"basis {one}/{other} reached {reached} in {MAX_ATTEMPTS} attempts, not {TARGET_RATIO:.0f}:1",
        remedy="look at the extinction of the beam splitter and of the transmitter's states, at light from outside, "
        "and whether the fibre moves faster than the feedback",
        code="ratio-not-reached",
    )


def _set_brightness(bench: Bench, arm: _Arm) -> Procedure[None]:
    """Set the attenuator: enough clicks, and even the brighter detector live at least LIVE_AT_LEAST of the time."""
    most_odds = (1 / LIVE_AT_LEAST - 1) / bench.info.hold_off_slots
    bench.shine(0.0)
    for _ in range(8):
        counts = (yield from bench.count(WINDOW_S))[2 * arm.basis : 2 * arm.basis + 2]
        # the sum over both ports does not depend on what the fibre does: all of it may end up in one detector
        odds = float((_odds(bench, counts, WINDOW_S) - arm.dark).sum())
        if 0.6 * most_odds <= odds <= most_odds:
            return
        low, high = bench.info.brightness_db
        before_db = bench.knobs.brightness_db
        step_db = 10 * math.log10(0.8 * most_odds / odds) if odds > 0.02 * most_odds / 20 else 20.0
        bench.shine(before_db + min(step_db, 20.0))
        if bench.knobs.brightness_db == before_db and before_db in (low, high):
            break
    if counts.sum() < ENOUGH_CLICKS:
        raise CalibrationFailed(
            f"only {counts.sum()} clicks in {1000 * WINDOW_S:.0f} ms at the brightest setting of the transmitter",
            remedy="look for a dark laser or a broken fibre; the link may be too long for this system",
            code="no-light",
        )


def _align_state(bench: Bench, arm: _Arm, state: Light, goal: float) -> Procedure[None]:
    """Turn the squeezers until this state's wrong share is at its least; nothing to do where it is low already."""
    bench.send(state)
    for _ in range(MAX_ROUNDS):
        measured = p_wrong = yield from _p_wrong(bench, arm, state)
        if p_wrong < goal:
            return
        arm.has_steered = True
        for squeezer in range(bench.info.num_squeezers):
            p_wrong, seen = yield from _set_squeezer(bench, arm, state, squeezer, p_wrong)
            _note_response(arm, measured, seen)


def _note_response(arm: _Arm, measured: float, seen: Sequence[float]) -> None:
    """Note, in standard errors, how far wrong shares with squeezers turned are from the one measured before.

    What a fit expects is no measurement: its errors would pass for a response where a stuck controller stands near 0.
    """
    for one in seen:
        sigma = math.sqrt(max(measured + one, 2e-3) / ENOUGH_CLICKS)
        arm.greatest_response = max(arm.greatest_response, abs(one - measured) / sigma)


def _set_squeezer(
    bench: Bench, arm: _Arm, state: Light, squeezer: int, p_wrong: float
) -> Procedure[tuple[float, Sequence[float]]]:
    """Fit the sine of one squeezer and move to its least value.

    Returns the wrong share that the fit expects there, and the two that were seen.
    """
    here = bench.knobs.retardances_rad[arm.basis][squeezer]
    step = COARSE_RAD if p_wrong > FINE_BELOW else FINE_RAD
    seen = []
    for offset in (-step, step):
        bench.knobs = _turned(bench, arm.basis, squeezer, here + offset)
        seen.append((yield from _p_wrong(bench, arm, state)))
    sine = (seen[1] - seen[0]) / (2 * math.sin(step))
    cosine = (p_wrong - (seen[0] + seen[1]) / 2) / (1 - math.cos(step))
    bench.knobs = _turned(bench, arm.basis, squeezer, here + math.atan2(-sine, -cosine))
    return max(0.0, p_wrong - cosine - math.hypot(sine, cosine)), seen


def _turned(bench: Bench, basis: int, squeezer: int, retardance_rad: float) -> Knobs:
    """Return the knobs with one squeezer at an equivalent of this retardance (whole turns) within its range."""
    most = bench.info.max_retardance_rad
    if not 0 <= retardance_rad <= most:
        # the middle of the range leaves room for the next correction on both sides
        retardance_rad += 2 * math.pi * round((most / 2 - retardance_rad) / (2 * math.pi))
    controllers = [list(one) for one in bench.knobs.retardances_rad]
    controllers[basis][squeezer] = retardance_rad
    return replace(bench.knobs, retardances_rad=tuple(tuple(one) for one in controllers))


def _p_wrong(bench: Bench, arm: _Arm, state: Light) -> Procedure[float]:
    """Return the share of a state's light in the wrong port, from one window."""
    counts = yield from bench.count(WINDOW_S)
    right, wrong = _right_and_wrong(bench, arm, state, counts, WINDOW_S)
    ratio = right / max(wrong, 1e-3 * right, 1e-15)
    arm.points.append(FeedbackPoint(bench.elapsed_s, state, float(ratio)))
    return float(max(wrong, 0.0) / max(right + max(wrong, 0.0), 1e-15))


def _confirm(bench: Bench, arm: _Arm, state: Light) -> Procedure[Extinction]:
    """Measure the extinction over windows that steer nothing."""
    bench.send(state)
    window_s = CONFIRM_WINDOWS * WINDOW_S
    counts = yield from bench.count(window_s)
    right, wrong = _right_and_wrong(bench, arm, state, counts, window_s)
    pair = counts[2 * arm.basis : 2 * arm.basis + 2]
    place = BASES[arm.basis].index(state)
    live_slots = bench.num_slots(window_s) - int(pair[1 - place]) * bench.info.hold_off_slots
    num_dark = arm.dark[1 - place] * bench.num_slots(DARK_WINDOWS * WINDOW_S)
    # Poisson errors of the clicks and of the dark clicks taken away; at least one click is never excluded
    sigma = math.hypot(
        math.sqrt(max(int(pair[1 - place]), 1)) / live_slots,
        math.sqrt(max(num_dark, 1)) / bench.num_slots(DARK_WINDOWS * WINDOW_S),
    )
    arm.live_fraction = 1 - int(pair.max()) * bench.info.hold_off_slots / bench.num_slots(window_s)
    ratio, ratio_lower = right / max(wrong, sigma), right / max(wrong + 2 * sigma, 1e-15)
    arm.points.append(FeedbackPoint(bench.elapsed_s, state, float(ratio)))
    total = max(right + wrong, 1e-15)
    return Extinction(state, float(ratio), float(ratio_lower), float(max(wrong, 0.0) / total), float(sigma / total))


def _right_and_wrong(bench: Bench, arm: _Arm, state: Light, counts: Integers, window_s: float) -> tuple[float, float]:
    """Return the odds per slot that light of this state fires the right and the wrong detector of its basis."""
    light = _odds(bench, counts[2 * arm.basis : 2 * arm.basis + 2], window_s) - arm.dark
    place = BASES[arm.basis].index(state)
    return float(light[place]), float(light[1 - place])


def _odds(bench: Bench, counts: Integers, window_s: float) -> Floats:
    return fired_odds(counts, num_slots=bench.num_slots(window_s), dead_slots=bench.info.hold_off_slots)
