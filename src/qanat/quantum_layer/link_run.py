"""A link for so many seconds of its own time: photon-level light, real distillation, and what came of both.

For looking at a link, never for keys: the two parties' keys are compared and overwritten here, no block leaves. So the
entropy may be a simulation's, and a run with the same seed can be had again.

Memory does not grow with the time: light comes in chunks, and an amplification block is as long as the proof chooses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Chance, Entropy
from qanat.physics.clicks import CELL_ALICE_BASIS, CELL_INTENSITY
from qanat.physics.systems import system_named
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey, SessionConfig
from qanat.postprocessing.records import ByteArray
from qanat.protocols.decoy import SIGNAL
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.link_plan import BlockPlan, LinkTask, RunAlarm, plan_blocks
from qanat.quantum_layer.nature import CHUNK_S, Nature
from qanat.quantum_layer.wire import Outcome, converse, make_wire, run_parties

NUM_PARTS: Final = 10
"""The error rate is told for each tenth of the run, so that a drift shows."""

PATIENCE_S: Final = 30.0


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
        config = SessionConfig(
            session_id=OrderId(f"block-{number}"),
            protocol=protocol_of(system),
            min_key_bits=plan.block_bits,
            reconciliation=task.reconciliation,
        )
        made = _distil(nature, config, entropy, lambda: on_progress(nature.num_pulses / task.num_pulses))
        if isinstance(made, RunAlarm):
            alarms.append(made)
            break
        identical = identical is not False and made[0].secret == made[1].secret
        keys.append(made[0])
        for key in made:
            key.secret.wipe()
    while nature.num_pulses < task.num_pulses:
        nature.detections.next_chunk()
        on_progress(nature.num_pulses / task.num_pulses)
    return _figures(nature, tally, plan, keys, identical, alarms)


def _distil(
    nature: Nature, config: SessionConfig, entropy: Entropy, on_light: Callable[[], None]
) -> tuple[DistilledKey, DistilledKey] | RunAlarm:
    """Run one block; returns both parties' keys, or why there are none. ``on_light`` is called as the light goes on."""
    pads = entropy.secret_bytes(SESSION_PAD_BITS // 8).take()
    alice = AliceSession(config, nature.preparations, SecretBytes(pads), entropy)
    bob = BobSession(config, nature.detections, SecretBytes(pads), entropy)
    ends = make_wire()
    parties = [
        converse(alice, ends[0], timeout_s=PATIENCE_S),
        converse(bob, ends[1], timeout_s=PATIENCE_S),
    ]
    turns = run_parties(parties, ends)
    seen = nature.num_pulses
    while True:
        try:
            next(turns)
        except StopIteration as end:
            outcomes: list[Outcome[DistilledKey]] = end.value
            break
        if nature.num_pulses > seen:
            seen = nature.num_pulses
            on_light()
    one, other = (outcome.result for outcome in outcomes)
    if one is not None and other is not None:
        return one, other
    return _alarm(outcomes, (alice.was_stopped_by_peer, bob.was_stopped_by_peer))


def _alarm(outcomes: Sequence[Outcome[DistilledKey]], were_told: tuple[bool, bool]) -> RunAlarm:
    """Return the fault of the party that saw it, not that of the one which was told."""
    faults = [outcome.fault for outcome, was_told in zip(outcomes, were_told, strict=True) if not was_told]
    seen = next((fault for fault in faults if fault is not None), None)
    fault = seen or QanatError("a session ended without a key", remedy="keep the seed and report it")
    return RunAlarm(type(fault).__name__, fault.message, fault.remedy)


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
