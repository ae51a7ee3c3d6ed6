"""A link for so many seconds of its own time: photon-level light, real distillation, and what came of both.

For looking at a link, never for keys: the two parties' keys are compared and overwritten here, no block leaves. So the
entropy may be a simulation's, and a run with the same seed can be had again.

Memory does not grow with the time: light comes in chunks, and an amplification block is as long as the proof chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError, QanatError
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Chance, Entropy
from qanat.physics.clicks import CELL_ALICE_BASIS, CELL_INTENSITY
from qanat.physics.system_record import QKDSystem
from qanat.physics.systems import system_named
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey, SessionConfig
from qanat.postprocessing.records import ByteArray
from qanat.protocols.decoy import SIGNAL
from qanat.protocols.prediction import expected_rate, protocol_of
from qanat.quantum_layer.forecast import MOST_BLOCKS, RECONCILIATION_BITS, amplification_bits
from qanat.quantum_layer.nature import CHUNK_S, Nature
from qanat.quantum_layer.wire import Outcome, converse, make_wire, run_parties

NUM_PARTS: Final = 10
"""The error rate is told for each tenth of the run, so that a drift shows."""

LEAST_SHARE: Final = 0.02
"""A block is worth distilling when the forecast leaves at least this share of it as secret key."""

MOST_LOSS_DB: Final = 100.0
MOST_SECONDS: Final = 7 * 86_400.0
PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class LinkTask:
    """What to run. disturbance: odds that somebody on the line flips a photon. Raises ConfigurationError."""

    system: str
    loss_db: float
    seconds: float
    disturbance: float = 0.0

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

    @property
    def num_pulses(self) -> int:
        return round(self.seconds * system_named(self.system).source.pulse_rate_hz)


@dataclass(frozen=True, slots=True)
class RunAlarm:
    """What went wrong, and what helps."""

    code: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """How the light is cut: ``num_blocks`` of ``block_bits`` verified bits; none, with the reason, where none fits."""

    block_bits: int
    num_blocks: int
    block_time_s: float
    alarm: RunAlarm | None = None


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What came of a run. ``sifted_bits`` are signal events with equal bases, of all light; ``qber`` is their error
    rate (None without events), ``qber_by_part`` that of each tenth of the time. ``leaked_bits``, ``f_ec``,
    ``key_bits`` (verified) and ``secret_bits`` are of the distilled blocks. ``keys_identical`` is None without one."""

    pulses: int
    detections: int
    sifted_bits: int
    qber: float | None
    qber_by_part: tuple[float | None, ...]
    num_blocks: int
    block_bits: int
    key_bits: int
    leaked_bits: int
    f_ec: float | None
    secret_bits: int
    keys_identical: bool | None
    alarms: tuple[RunAlarm, ...]

    @property
    def all_held(self) -> bool:
        """Whether key was made, alike at both ends, and nothing was alarming."""
        return bool(self.keys_identical) and not self.alarms


def plan_blocks(task: LinkTask) -> BlockPlan:
    """Return how many blocks of what length the light is expected to fill.

    Blocks are as long as the proof chooses, or longer, so that they fill the time; shorter where the time is short, as
    long as the forecast still gives key.
    """
    system = system_named(task.system)
    rate = expected_rate(system, loss_db=task.loss_db, block_bits=RECONCILIATION_BITS).verified_rate_bits_per_s
    chosen = amplification_bits(task.system, loss_db=task.loss_db)
    num_blocks = max(1, math.floor(task.seconds / _time_for(chosen, rate)))
    units = min(MOST_BLOCKS, math.floor(rate * task.seconds / num_blocks / RECONCILIATION_BITS))
    while units > 0 and _time_for(units * RECONCILIATION_BITS, rate) > task.seconds / num_blocks:
        units -= 1
    if units and _gives_key(system, task.loss_db, units):
        block_bits = units * RECONCILIATION_BITS
        return BlockPlan(block_bits, num_blocks, _time_for(block_bits, rate))
    return BlockPlan(0, 0, 0.0, _too_short(system, task, rate))


def _time_for(block_bits: int, rate_bits_per_s: float) -> float:
    """Seconds of light in which a block fills, with five sigma to spare, and a chunk that is only half used."""
    return (block_bits + 5 * math.sqrt(block_bits)) / rate_bits_per_s + CHUNK_S


def _gives_key(system: QKDSystem, loss_db: float, units: int) -> bool:
    block_bits = units * RECONCILIATION_BITS
    return (
        expected_rate(system, loss_db=loss_db, block_bits=block_bits).secret_bits_per_block > LEAST_SHARE * block_bits
    )


def _too_short(system: QKDSystem, task: LinkTask, rate: float) -> RunAlarm:
    """Say how long would do, or that nothing would."""
    low, high = 0, MOST_BLOCKS
    if not _gives_key(system, task.loss_db, high):
        return RunAlarm(
            "NoSecretKey",
            f"at {task.loss_db:g} dB, {task.system} gives no key worth distilling from blocks of up to 10^8 bits",
            "less loss, or a system with better detectors",
        )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _gives_key(system, task.loss_db, middle) else (middle, high)
    least_s = math.ceil(_time_for(high * RECONCILIATION_BITS, rate))
    chosen = amplification_bits(task.system, loss_db=task.loss_db)
    chosen_s = math.ceil(_time_for(chosen, rate))
    return RunAlarm(
        "TooShort",
        f"{task.seconds:g} s of light are too short for a block that gives key",
        f"{least_s} s would do; {chosen_s} s fill a block of {chosen:,} bits, as a network makes them",
    )


class _Tally:
    """Counts signal events with equal bases, and the wrong ones, by parts of the run: an onlooker, neither party."""

    def __init__(self, num_pulses: int, slots_per_chunk: int) -> None:
        self.events = np.zeros(NUM_PARTS, dtype=np.int64)
        self.wrong = np.zeros(NUM_PARTS, dtype=np.int64)
        self._num_pulses = num_pulses
        self._slots_per_chunk = slots_per_chunk
        self._slots_seen = 0

    def watch(self, cells: ByteArray, alice_bits: ByteArray, bases: ByteArray, bits: ByteArray) -> None:
        part = min(NUM_PARTS - 1, self._slots_seen * NUM_PARTS // self._num_pulses)
        self._slots_seen += self._slots_per_chunk
        sifted = (CELL_INTENSITY[cells] == SIGNAL) & (CELL_ALICE_BASIS[cells] == bases)
        self.events[part] += np.count_nonzero(sifted)
        self.wrong[part] += np.count_nonzero(sifted & (alice_bits != bits))

    def qber_by_part(self) -> tuple[float | None, ...]:
        pairs = zip(self.wrong.tolist(), self.events.tolist(), strict=True)
        return tuple(wrong / events if events else None for wrong, events in pairs)


def run_link(
    task: LinkTask, *, chance: Chance, entropy: Entropy, on_progress: Callable[[float], None] = lambda _: None
) -> LinkFigures:
    """Run the link and return its figures; ``on_progress`` hears the share of the light that is over, 0 to 1."""
    system, plan = system_named(task.system), plan_blocks(task)
    slots_per_chunk = max(1, min(task.num_pulses, round(CHUNK_S * system.source.pulse_rate_hz)))
    tally = _Tally(task.num_pulses, slots_per_chunk)
    nature = Nature(
        system,
        loss_db=task.loss_db,
        chance=chance,
        entropy=entropy,
        slots_per_chunk=slots_per_chunk,
        extra_error=task.disturbance,
        max_slots=task.num_pulses,
        watch=tally.watch,
    )
    keys: list[DistilledKey] = []
    alarms = [] if plan.alarm is None else [plan.alarm]
    identical: bool | None = None
    for number in range(plan.num_blocks):
        outcomes, alarm = _distil(nature, system, plan, entropy, number, on_progress, task.num_pulses)
        if alarm is not None:
            alarms.append(alarm)
            break
        identical = identical is not False and outcomes[0].secret == outcomes[1].secret
        keys.append(outcomes[0])
        for key in outcomes:
            key.secret.wipe()
    while nature.num_pulses < task.num_pulses:
        nature.detections.next_chunk()
        on_progress(nature.num_pulses / task.num_pulses)
    return _figures(nature, tally, plan, keys, identical, alarms)


def _distil(
    nature: Nature,
    system: QKDSystem,
    plan: BlockPlan,
    entropy: Entropy,
    number: int,
    on_progress: Callable[[float], None],
    num_pulses: int,
) -> tuple[list[DistilledKey], RunAlarm | None]:
    """Run one block; returns both parties' keys, or why there are none."""
    config = SessionConfig(
        session_id=OrderId(f"block-{number}"), protocol=protocol_of(system), min_key_bits=plan.block_bits
    )
    pads = entropy.secret_bytes(SESSION_PAD_BITS // 8).take()
    alice = AliceSession(config, nature.preparations, SecretBytes(pads), entropy)
    bob = BobSession(config, nature.detections, SecretBytes(pads), entropy)
    ends = make_wire()
    parties = [
        converse(alice, ends[0], timeout_s=PATIENCE_S),
        converse(bob, ends[1], timeout_s=PATIENCE_S),
    ]
    turns = run_parties(parties, ends)
    told = nature.num_pulses
    while True:
        try:
            next(turns)
        except StopIteration as end:
            outcomes: list[Outcome[DistilledKey]] = end.value
            break
        if nature.num_pulses > told:
            told = nature.num_pulses
            on_progress(told / num_pulses)
    keys = [outcome.result for outcome in outcomes if outcome.result is not None]
    if len(keys) == 2:
        return keys, None
    stopped = (alice.was_stopped_by_peer, bob.was_stopped_by_peer)
    faults = [outcome.fault for outcome, was_told in zip(outcomes, stopped, strict=True) if not was_told]
    fault = next((fault for fault in faults if fault is not None), None) or QanatError("a session ended without a key")
    return [], RunAlarm(type(fault).__name__, fault.message, fault.remedy)


def _figures(
    nature: Nature,
    tally: _Tally,
    plan: BlockPlan,
    keys: list[DistilledKey],
    identical: bool | None,
    alarms: list[RunAlarm],
) -> LinkFigures:
    events, leaked = int(tally.events.sum()), sum(key.leaked_bits for key in keys)
    shannon = sum(key.leaked_bits / key.f_ec for key in keys if key.f_ec)
    return LinkFigures(
        pulses=nature.num_pulses,
        detections=nature.num_detections,
        sifted_bits=events,
        qber=int(tally.wrong.sum()) / events if events else None,
        qber_by_part=tally.qber_by_part(),
        num_blocks=len(keys),
        block_bits=plan.block_bits,
        key_bits=sum(key.key_bits for key in keys),
        leaked_bits=leaked,
        f_ec=leaked / shannon if shannon else None,
        secret_bits=sum(key.num_bits for key in keys),
        keys_identical=identical,
        alarms=tuple(alarms),
    )
