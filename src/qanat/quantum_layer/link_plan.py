"""How long a link is to run, and how its light is cut into amplification blocks: a forecast, made before any light."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, get_args

from qanat.ground.errors import ConfigurationError
from qanat.physics.systems import system_named
from qanat.postprocessing.amplification import Amplification
from qanat.postprocessing.reconciliation.port import MethodName
from qanat.protocols.prediction import ExpectedRate
from qanat.quantum_layer.device_twin.settings import TwinSettings
from qanat.quantum_layer.forecast import MOST_BLOCKS, RECONCILIATION_BITS, amplification_bits, method_forecast
from qanat.quantum_layer.nature import CHUNK_S

LEAST_SHARE: Final = 0.02
"""A block is worth distilling when the forecast leaves at least this share of it as secret key."""

CALIBRATED_SHARE: Final = 0.93
"""Least share of the forecast's clicks that calibrated devices give: four detectors of unlike efficiency (5 % at most),
a delay that is a step off (1.2 %)."""
DRIFTING_SHARE: Final = 0.85
"""The same for a delay that drifts until the counts have fallen by a tenth."""

MOST_LOSS_DB: Final = 100.0
MOST_SECONDS: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class LinkTask:
    """What to run. Raises ConfigurationError.

    disturbance: odds that somebody on the line flips a photon. reconciliation: the method of error correction.
    amplification: the hash of privacy amplification.
    charges_replies: whether the secret length pays for Bob's messages of it too.

    calibrate: whether the link has devices of its own, from the seed, which are calibrated first; else its optical
    error is the record's. Their fibre may drift: on the sphere (rad per root second) and in delay (ps per root second);
    with_feedback: whether the link then stops to be aligned.
    """

    system: str
    loss_db: float
    seconds: float
    disturbance: float = 0.0
    calibrate: bool = False
    drift_rad_per_sqrt_s: float = 0.0
    delay_drift_ps_per_sqrt_s: float = 0.0
    with_feedback: bool = True
    reconciliation: MethodName = "cascade"
    amplification: Amplification = "toeplitz"
    charges_replies: bool = False

    def __post_init__(self) -> None:
        system_named(self.system)
        if not 0 <= self.loss_db <= MOST_LOSS_DB:
            raise ConfigurationError(
                f"a loss of {self.loss_db:g} dB cannot be run", remedy=f"give the link's loss, 0 to {MOST_LOSS_DB:g} dB"
            )
        if not 0 < self.seconds <= MOST_SECONDS or self.num_pulses < 1:
            raise ConfigurationError(
                f"{self.seconds:g} seconds of light cannot be run",
                remedy=f"give the link's own time, from one pulse to {MOST_SECONDS:g} seconds",
            )
        if not 0 <= self.disturbance <= 0.5:
            raise ConfigurationError(
                f"a disturbance of {self.disturbance:g} is none", remedy="give the odds of a flip, 0 to 0.5"
            )
        if self.reconciliation not in (methods := get_args(MethodName)):
            raise ConfigurationError(
                f"{self.reconciliation!r} is no method of error correction", remedy=f"there are {', '.join(methods)}"
            )
        if self.amplification not in (hashes := get_args(Amplification)):
            raise ConfigurationError(
                f"{self.amplification!r} is no hash of privacy amplification", remedy=f"there are {', '.join(hashes)}"
            )
        if not self.calibrate and (self.drifts or not self.with_feedback):
            raise ConfigurationError(
                "an optical error that is stated cannot drift, and there is no feedback to leave out",
                remedy="let the link be calibrated, or say nothing of drift and feedback",
            )
        if self.calibrate:
            self.devices(seed=0)  # refuses what its twin refuses

    def devices(self, *, seed: int) -> TwinSettings:
        """Return what the link's devices are made of; raises ConfigurationError."""
        return TwinSettings(
            self.system,
            self.loss_db,
            seed,
            drift_rad_per_sqrt_s=self.drift_rad_per_sqrt_s,
            delay_drift_ps_per_sqrt_s=self.delay_drift_ps_per_sqrt_s,
        )

    @property
    def drifts(self) -> bool:
        return self.drift_rad_per_sqrt_s != 0 or self.delay_drift_ps_per_sqrt_s != 0

    @property
    def clicks_share(self) -> float:
        """Least share of the forecast's clicks to plan with."""
        if not self.calibrate:
            return 1.0
        return CALIBRATED_SHARE * (DRIFTING_SHARE if self.delay_drift_ps_per_sqrt_s else 1.0)

    @property
    def num_pulses(self) -> int:
        return round(self.seconds * system_named(self.system).source.pulse_rate_hz)


@dataclass(frozen=True, slots=True)
class RunAlarm:
    """What went wrong, and what helps. light_s: seconds of light before it; None where it was known beforehand."""

    code: str
    text: str
    remedy: str
    light_s: float | None = None


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """How the light is cut: ``num_blocks`` of ``block_bits`` verified bits; none, with the reason, where none fits."""

    block_bits: int
    num_blocks: int
    block_time_s: float
    alarm: RunAlarm | None = None


def plan_blocks(task: LinkTask) -> BlockPlan:
    """Return how many blocks of what length the light is expected to fill.

    Blocks are as long as the proof chooses, or longer, so that they fill the time; shorter where the time is short, as
    long as the forecast still gives key.
    """
    rate = task.clicks_share * _forecast(task, 1).verified_rate_bits_per_s
    chosen = _chosen_bits(task)
    num_blocks = max(1, math.floor(task.seconds / _time_for(chosen, rate)))
    units = min(MOST_BLOCKS, math.floor(rate * task.seconds / num_blocks / RECONCILIATION_BITS))
    while units > 0 and _time_for(units * RECONCILIATION_BITS, rate) > task.seconds / num_blocks:
        units -= 1
    if units and _gives_key(task, units):
        block_bits = units * RECONCILIATION_BITS
        return BlockPlan(block_bits, num_blocks, _time_for(block_bits, rate))
    return BlockPlan(0, 0, 0.0, _too_short(task, rate))


def _time_for(block_bits: int, rate_bits_per_s: float) -> float:
    """Seconds of light in which a block fills, with five sigma to spare, and a chunk that is only half used."""
    return (block_bits + 5 * math.sqrt(block_bits)) / rate_bits_per_s + CHUNK_S


def _forecast(task: LinkTask, units: int) -> ExpectedRate:
    return method_forecast(
        task.system,
        loss_db=task.loss_db,
        block_bits=units * RECONCILIATION_BITS,
        reconciliation=task.reconciliation,
        charges_replies=task.charges_replies,
    )


def _chosen_bits(task: LinkTask) -> int:
    return amplification_bits(
        task.system,
        loss_db=task.loss_db,
        reconciliation=task.reconciliation,
        charges_replies=task.charges_replies,
    )


def _gives_key(task: LinkTask, units: int) -> bool:
    return _forecast(task, units).secret_bits_per_block > LEAST_SHARE * units * RECONCILIATION_BITS


def _too_short(task: LinkTask, rate: float) -> RunAlarm:
    """Say how long would do, or that nothing would."""
    low, high = 0, MOST_BLOCKS
    if not _gives_key(task, high):
        return RunAlarm(
            "NoSecretKey",
            f"at {task.loss_db:g} dB, {task.system} gives no key worth distilling from blocks of up to 10^8 bits",
            "less loss, or a system with better detectors",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _gives_key(task, middle) else (middle, high)
    least_s = math.ceil(_time_for(high * RECONCILIATION_BITS, rate))
    chosen = _chosen_bits(task)
    chosen_s = math.ceil(_time_for(chosen, rate))
    return RunAlarm(
        "TooShort",
        f"{task.seconds:g} s of light are too short for a block that gives key",
        f"{least_s} s would do; {chosen_s} s fill a block of {chosen:,} bits, as a network makes them",
    )
