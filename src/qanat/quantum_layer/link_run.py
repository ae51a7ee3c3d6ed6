"""A link for so many seconds of its own time: photon-level light, real distillation, and what came of both.

For looking at a link, never for keys: the two parties' keys are compared and overwritten here, no block leaves. So the
entropy may be a simulation's, and a run with the same seed can be had again.

A task with ``calibrate`` has devices of its own: they are calibrated first, the light is that of the optics as they
were aligned, and with drift the link stops to be aligned again when it must (``link_upkeep``).

Memory does not grow with the time: light comes in chunks, and an amplification block is as long as the proof chooses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from qanat.ground.alarms import code_of
from qanat.ground.errors import CalibrationFailed, EntropyFailed, QanatError
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Chance, Entropy
from qanat.physics.analytic import link_model
from qanat.physics.systems import system_named
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import MAX_CHUNKS, DistilledKey, SessionConfig
from qanat.postprocessing.records import DetectionSource
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.calibration.results import Calibration
from qanat.quantum_layer.link_optics import LinkOptics
from qanat.quantum_layer.link_plan import BlockPlan, LinkTask, RunAlarm, plan_blocks
from qanat.quantum_layer.link_tally import Tally, rates
from qanat.quantum_layer.link_upkeep import LinkKeeper, OpticsFigures
from qanat.quantum_layer.nature import CHUNK_S, Nature
from qanat.quantum_layer.wire import Outcome, converse, make_wire, run_parties

PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What came of a run.

    ``sifted_bits`` are signal events with equal bases, of all light; ``qber`` is their error rate (None without
    events), ``qber_by_part`` that of each tenth of the time. ``qber_curve`` and ``clicks_curve`` (detections per
    second) have a point for every ``step_s`` seconds of light.

    ``leaked_bits`` (what the secret length paid for error correction), ``reply_bits`` (what Bob's messages of it tell
    beyond Alice's, at most; paid where the task charges them), ``f_ec``, ``key_bits`` (verified) and ``secret_bits``
    are of the distilled blocks. ``keys_identical`` is None without one. ``optics``: of a link that was calibrated; None
    of another.
    """

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
    step_s: float
    qber_curve: tuple[float | None, ...]
    clicks_curve: tuple[float, ...]
    optics: OpticsFigures | None = None
    reply_bits: int = 0

    @property
    def all_held(self) -> bool:
        """Whether key was made, alike at both ends, and nothing was alarming."""
        return bool(self.keys_identical) and not self.alarms


class Light(NamedTuple):
    """What a run is made of: nature, who looks on, Bob's receiver; optics, first calibration and keeper if it has
    any."""

    nature: Nature
    tally: Tally
    receiver: DetectionSource
    keeper: LinkKeeper | None
    found: Calibration | None


def run_link(
    task: LinkTask, *, chance: Chance, entropy: Entropy, on_progress: Callable[[float], None] = lambda _: None
) -> LinkFigures:
    """Run the link and return its figures; ``on_progress`` hears the share of the light that is over, 0 to 1.

    Raises CalibrationFailed when the first calibration does; a later one that fails is an alarm.
    """
    plan, light = plan_blocks(task), _light(task, chance, entropy)
    nature = light.nature

    def on_light() -> None:
        on_progress(nature.num_pulses / task.num_pulses)

    keys: list[DistilledKey] = []
    alarms = [] if plan.alarm is None else [plan.alarm]
    identical: bool | None = None
    for number in range(plan.num_blocks):
        config = SessionConfig(
            session_id=OrderId(f"block-{number}"),
            protocol=protocol_of(system_named(task.system)),
            min_key_bits=plan.block_bits,
            max_chunks=max(MAX_CHUNKS, math.ceil(task.seconds / CHUNK_S)),
            reconciliation=task.reconciliation,
            amplification=task.amplification,
            charges_replies=task.charges_replies,
        )
        made = distil_block(light, config, entropy, on_light)
        if isinstance(made, RunAlarm):
            alarms.append(replace(made, light_s=nature.elapsed_s))
            if made.code == "NoSecretKey" and task.drifts:
                continue  # the block is dropped; the next one may find the link better, or be aborted
            break
        identical = identical is not False and made[0].secret == made[1].secret
        keys.append(made[0])
        for key in made:
            key.secret.wipe()
    if not any(alarm.code == EntropyFailed.__name__ for alarm in alarms):
        alarms += shine_on(light, task.num_pulses, on_light)
    return _figures(light, plan, keys, identical, alarms)


def _light(task: LinkTask, chance: Chance, entropy: Entropy) -> Light:
    """Make the run's light; calibrates first where the task wants it."""
    system = system_named(task.system)
    rate_hz = system.source.pulse_rate_hz
    slots_per_chunk = max(1, min(task.num_pulses, round(CHUNK_S * rate_hz)))
    tally = Tally(num_pulses=task.num_pulses, slots_per_chunk=slots_per_chunk, pulse_rate_hz=rate_hz)
    optics, found = None, None
    if task.calibrate:
        high, low, *_ = chance.child("devices").seed_words()
        optics = LinkOptics(task.devices(seed=(high << 32) + low), disturbance=task.disturbance)
        found = optics.calibrate()
    nature = Nature(
        system,
        loss_db=task.loss_db,
        chance=chance,
        entropy=entropy,
        slots_per_chunk=slots_per_chunk,
        extra_error=task.disturbance,
        max_slots=task.num_pulses,
        watch=tally.watch,
        odds=None if optics is None else optics.odds,
    )
    if optics is None:
        return Light(nature, tally, nature.detections, None, None)
    expected = link_model(system, loss_db=task.loss_db)
    keeper = LinkKeeper(optics, nature, tally, expected=expected, with_feedback=task.with_feedback)
    return Light(nature, tally, keeper, keeper, found)


def shine_on(light: Light, num_pulses: int, on_light: Callable[[], None]) -> list[RunAlarm]:
    """Let the rest of the light shine, of which no key is made; returns the alarms of what went wrong meanwhile."""
    alarms = []
    if light.keeper is not None:
        light.keeper.follow(None)
    while light.nature.num_pulses < num_pulses:
        try:
            light.receiver.next_chunk()
        except CalibrationFailed as fault:
            alarms.append(replace(_told(fault), light_s=light.nature.elapsed_s))
        except EntropyFailed as fault:  # without entropy there is no light
            return [*alarms, replace(_told(fault), light_s=light.nature.elapsed_s)]
        on_light()
    return alarms


def distil_block(
    light: Light, config: SessionConfig, entropy: Entropy, on_light: Callable[[], None]
) -> tuple[DistilledKey, DistilledKey] | RunAlarm:
    """Run one block; returns both parties' keys, or why there are none. ``on_light`` is called as the light goes on."""
    try:
        pads = entropy.secret_bytes(config.pad_bits // 8).take()
    except EntropyFailed as failure:
        return _told(failure)
    alice = AliceSession(config, light.nature.preparations, SecretBytes(pads), entropy)
    bob = BobSession(config, light.receiver, SecretBytes(pads), entropy)
    if light.keeper is not None:
        light.keeper.follow(bob.sifted)
    ends = make_wire()
    parties = [
        converse(alice, ends[0], timeout_s=PATIENCE_S),
        converse(bob, ends[1], timeout_s=PATIENCE_S),
    ]
    turns = run_parties(parties, ends)
    seen = light.nature.num_pulses
    while True:
        try:
            next(turns)
        except StopIteration as end:
            outcomes: list[Outcome[DistilledKey]] = end.value
            break
        if light.nature.num_pulses > seen:
            seen = light.nature.num_pulses
            on_light()
    one, other = (outcome.result for outcome in outcomes)
    if one is not None and other is not None:
        return one, other
    return _alarm(outcomes, (alice.was_stopped_by_peer, bob.was_stopped_by_peer))


def _alarm(outcomes: Sequence[Outcome[DistilledKey]], were_told: tuple[bool, bool]) -> RunAlarm:
    """Return the fault of the party that saw it, not that of the one which was told."""
    faults = [outcome.fault for outcome, was_told in zip(outcomes, were_told, strict=True) if not was_told]
    seen = next((fault for fault in faults if fault is not None), None)
    return _told(seen or QanatError("a session ended without a key", remedy="keep the seed and report it"))


def _told(fault: QanatError) -> RunAlarm:
    return RunAlarm(code_of(fault), fault.message, fault.remedy)


def _figures(
    light: Light, plan: BlockPlan, keys: list[DistilledKey], identical: bool | None, alarms: list[RunAlarm]
) -> LinkFigures:
    events, wrong = light.tally.totals
    told = [key.ledger.total_leaked_bits - key.ledger.leaked_bits["verification"] for key in keys]
    shannon = sum(bits / key.f_ec for bits, key in zip(told, keys, strict=True) if key.f_ec)
    figures = LinkFigures(
        pulses=light.nature.num_pulses,
        detections=light.nature.num_detections,
        sifted_bits=events,
        qber=wrong / events if events else None,
        qber_by_part=rates(light.tally.parts),
        num_blocks=len(keys),
        block_bits=plan.block_bits,
        key_bits=sum(key.key_bits for key in keys),
        leaked_bits=sum(key.leaked_bits for key in keys),
        reply_bits=sum(key.ledger.reply_bits for key in keys),
        f_ec=sum(told) / shannon if shannon else None,
        secret_bits=sum(key.num_bits for key in keys),
        keys_identical=identical,
        alarms=tuple(alarms),
        step_s=light.tally.step_s,
        qber_curve=rates(light.tally.steps),
        clicks_curve=light.tally.clicks_per_s,
    )
    if light.keeper is None or light.found is None:
        return figures
    return replace(figures, optics=light.keeper.figures(light.found))
