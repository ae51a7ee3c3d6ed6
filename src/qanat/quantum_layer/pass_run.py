"""A satellite's pass at photon level, with real distillation at both ends: every click drawn, loss new every second.

As ``link_run`` it is for looking at, never for keys: what both parties made is compared and overwritten here. The
seconds in which the telescopes do not see each other are left out, as if there were none. The light of the pass makes
one amplification block: as many whole blocks of 2^18 bits as it is sure to fill, five standard deviations to spare.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import EntropyFailed
from qanat.ground.identifiers import OrderId
from qanat.ground.ports import Chance, Entropy
from qanat.orbits.downlink import LinkBudget
from qanat.orbits.pass_light import PassLight
from qanat.postprocessing.config import DistilledKey, SessionConfig
from qanat.protocols.decoy import SecretLength
from qanat.quantum_layer.forecast import MOST_BLOCKS, RECONCILIATION_BITS
from qanat.quantum_layer.link_plan import RunAlarm
from qanat.quantum_layer.link_run import Light, distil_block, shine_on
from qanat.quantum_layer.link_tally import Tally, rates
from qanat.quantum_layer.nature import CHUNK_S, Nature
from qanat.quantum_layer.pass_odds import PassOdds

Floats = NDArray[np.float64]

SPARE_SIGMAS: Final = 5.0


@dataclass(frozen=True, slots=True)
class PassFigures:
    """What came of a pass. ``sifted_bits``: signal events with equal bases; ``qber``: their error rate.

    ``key_bits`` (verified), ``leaked_bits``, ``f_ec``, ``secret_bits`` and ``length`` are those of the block; nothing
    where there is none. ``sifted_by_step``, ``qber_by_step``: for every ``step_s`` seconds of light.
    """

    pulses: int
    detections: int
    sifted_bits: int
    qber: float | None
    key_bits: int
    leaked_bits: int
    f_ec: float | None
    secret_bits: int
    keys_identical: bool | None
    alarms: tuple[RunAlarm, ...]
    step_s: float
    sifted_by_step: tuple[int, ...]
    qber_by_step: tuple[float | None, ...]
    key: DistilledKey | None = None

    @property
    def length(self) -> SecretLength | None:
        """The proof's length with its terms."""
        return None if self.key is None else self.key.length

    @property
    def all_held(self) -> bool:
        """Whether key was made, alike at both ends, and nothing was alarming."""
        return bool(self.keys_identical) and not self.alarms


def block_bits_of(expected: PassLight) -> int:
    """Return how many verified bits the light of a pass is sure to make: whole blocks; 0 where it makes none."""
    undisclosed = expected.sifted_bits * (1 - expected.protocol.signal_disclosed)
    sure = undisclosed - SPARE_SIGMAS * math.sqrt(undisclosed)
    return max(0, min(MOST_BLOCKS, math.floor(sure / RECONCILIATION_BITS))) * RECONCILIATION_BITS


def run_pass(
    expected: PassLight,
    budget: LinkBudget,
    *,
    chance: Chance,
    entropy: Entropy,
    on_progress: Callable[[float], None] = lambda _: None,
) -> PassFigures:
    """Run a pass and return what came of it; ``on_progress`` hears the share of the light that is over, 0 to 1."""
    budget.check_sky("a run photon by photon")
    seen, block_bits = budget.is_tracked, block_bits_of(expected)
    if not seen.any() or not block_bits:
        return _without_key(expected)
    light = _light(expected, budget.link_loss_db(expected.system)[seen], chance, entropy)
    total = _num_pulses(expected, int(seen.sum()))

    def on_light() -> None:
        on_progress(light.nature.num_pulses / total)

    config = SessionConfig(session_id=OrderId("pass"), protocol=expected.protocol, min_key_bits=block_bits)
    made = distil_block(light, config, entropy, on_light)
    alarms = [made] if isinstance(made, RunAlarm) else []
    if not any(alarm.code == EntropyFailed.__name__ for alarm in alarms):
        alarms += shine_on(light, total, on_light)
    return _figures(light, None if isinstance(made, RunAlarm) else made, alarms)


def _light(expected: PassLight, losses_db: Floats, chance: Chance, entropy: Entropy) -> Light:
    rate_hz = expected.system.source.pulse_rate_hz
    num_pulses = _num_pulses(expected, losses_db.size)
    slots_per_chunk = round(min(CHUNK_S, expected.step_s) * rate_hz)
    tally = Tally(num_pulses=num_pulses, slots_per_chunk=slots_per_chunk, pulse_rate_hz=rate_hz)
    nature = Nature(
        expected.system,
        loss_db=float(losses_db[0]),
        chance=chance,
        entropy=entropy,
        slots_per_chunk=slots_per_chunk,
        max_slots=num_pulses,
        watch=tally.watch,
        odds=PassOdds(expected.system, losses_db, expected.step_s),
    )
    return Light(nature, tally, nature.detections, None, None)


def _num_pulses(expected: PassLight, num_steps: int) -> int:
    return round(num_steps * expected.step_s * expected.system.source.pulse_rate_hz)


def _figures(light: Light, made: tuple[DistilledKey, DistilledKey] | None, alarms: list[RunAlarm]) -> PassFigures:
    events, wrong = light.tally.totals
    figures = PassFigures(
        pulses=light.nature.num_pulses,
        detections=light.nature.num_detections,
        sifted_bits=events,
        qber=wrong / events if events else None,
        key_bits=0,
        leaked_bits=0,
        f_ec=None,
        secret_bits=0,
        keys_identical=None,
        alarms=tuple(alarms),
        step_s=light.tally.step_s,
        sifted_by_step=tuple(light.tally.steps[0].tolist()),
        qber_by_step=rates(light.tally.steps),
    )
    if made is None:
        return figures
    one, other = made
    identical = one.secret == other.secret and one.num_bits == other.num_bits
    for key in made:
        key.secret.wipe()
    return replace(
        figures,
        key_bits=one.key_bits,
        leaked_bits=one.leaked_bits,
        f_ec=one.f_ec,
        secret_bits=one.num_bits,
        keys_identical=identical,
        key=one,
    )


def _without_key(expected: PassLight) -> PassFigures:
    alarm = RunAlarm(
        "TooShort",
        f"this pass is expected to give {expected.sifted_bits:,.0f} sifted bits, less than one block of "
        f"{RECONCILIATION_BITS:,} undisclosed bits",
        "a higher pass, a longer one, or several passes joined in one block",
    )
    return PassFigures(0, 0, 0, None, 0, 0, None, 0, None, (alarm,), expected.step_s, (), ())
