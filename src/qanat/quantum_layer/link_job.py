"""The worker's job behind a twin link: one amplification block from light to key, both ends and nature in between.

Nature, Alice and Bob are three objects. Alice and Bob share nothing but the wire; each holds one facet of nature, its
own pads, and computes its own key. What comes out are reports (``quantum_layer.reports``): figures while it runs, one
block per end, or a fault per end.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import numpy as np

from qanat.ground.alarms import code_of
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import NoSecretKey, QanatError, QuantumLayerError
from qanat.ground.identifiers import LinkId, NodeId, OrderId
from qanat.ground.keys import KeyBlock, SecretBytes
from qanat.ground.orders import LinkQuality
from qanat.ground.ports import Chance, Entropy
from qanat.physics.systems import SYSTEMS, QKDSystem, system_named
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import MAX_CHUNKS, DistilledKey, SessionConfig
from qanat.protocols.decoy import INTENSITY_NAMES, DecoyProtocol, SecurityParameters
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.block_job import LinkRun
from qanat.quantum_layer.forecast import MOST_BLOCKS, RECONCILIATION_BITS, link_forecast
from qanat.quantum_layer.nature import CHUNK_S, Nature
from qanat.quantum_layer.pass_odds import PassOdds
from qanat.quantum_layer.reports import BlockReport, FaultReport, encode_report
from qanat.quantum_layer.wire import Outcome, converse, make_wire, run_parties

PROTOCOL_NAME = "decoy-bb84"
FRAME_PATIENCE_S = 30.0
PROGRESS_STEP = 0.02


def distil_link(run: LinkRun) -> Iterator[bytes]:
    """Make one block; yields encoded reports, the two blocks (or faults) last. A link without any hope is not lit."""
    if run.min_key_bits is None and (fault := _hopeless(run)) is not None:
        for node in run.ends:
            yield encode_report(FaultReport(node, code_of(fault), fault.message, fault.remedy, is_root=True))
        return
    system = system_named(run.system) if run.light is None else run.light.system
    nature = _nature(run, system)
    config = _session(run, protocol_of(system))
    alice = AliceSession(config, nature.preparations, SecretBytes(run.pads[0]), run.entropy)
    bob = BobSession(config, nature.detections, SecretBytes(run.pads[1]), run.entropy)
    ends = make_wire()
    parties = [
        converse(alice, ends[0], timeout_s=FRAME_PATIENCE_S),
        converse(bob, ends[1], timeout_s=FRAME_PATIENCE_S),
    ]
    outcomes = yield from _watched(run, nature, alice, run_parties(parties, ends))
    for node, outcome in zip(run.ends, outcomes, strict=True):
        if outcome.result is not None and node == run.ends[0]:
            yield encode_report(_figures(run, nature, system, config.security, outcome.result))
    for node, outcome, party in zip(run.ends, outcomes, (alice, bob), strict=True):
        is_root = outcome.was_first and not party.was_stopped_by_peer
        yield encode_report(_report(run, node, outcome, is_root=is_root))


def _nature(run: LinkRun, system: QKDSystem) -> Nature:
    """Return the light of a link, or of one pass of it."""
    if run.light is None:
        return Nature(system, loss_db=run.loss_db, chance=run.chance, entropy=run.entropy, extra_error=run.disturbance)
    light, rate_hz = run.light, system.source.pulse_rate_hz
    losses_db = np.array(light.losses_db)
    return Nature(
        system,
        loss_db=float(losses_db[0]),
        chance=run.chance,
        entropy=run.entropy,
        slots_per_chunk=round(min(CHUNK_S, light.step_s) * rate_hz),
        max_slots=round(losses_db.size * light.step_s * rate_hz),
        odds=PassOdds(system, losses_db, light.step_s),
    )


def _session(run: LinkRun, protocol: DecoyProtocol) -> SessionConfig:
    """Return the parameters of the block's session."""
    max_chunks = max(MAX_CHUNKS, math.ceil(run.max_light_s / CHUNK_S) + 1)
    return SessionConfig(run.order_id, protocol=protocol, min_key_bits=run.key_bits, max_chunks=max_chunks)


def _hopeless(run: LinkRun) -> NoSecretKey | None:
    """Return why a link gives no key whatever the block, by its forecast, or None."""
    if link_forecast(run.system, loss_db=run.loss_db).secret_bits_per_block > 0:
        return None
    return NoSecretKey(
        f"{run.loss_db:g} dB is too much for {run.system}: no block of up to {MOST_BLOCKS * RECONCILIATION_BITS:.0e} "
        "bits gives a key",
        remedy="put a trusted relay between the ends, or take a system with better detectors",
    )


def _watched(
    run: LinkRun,
    nature: Nature,
    alice: AliceSession,
    turns: Generator[None, None, list[Outcome[DistilledKey]]],
) -> Generator[bytes, None, list[Outcome[DistilledKey]]]:
    """Drive the parties and tell now and then how much of the key is sifted."""
    told, max_light_s = 0.0, run.max_light_s
    while True:
        try:
            next(turns)
        except StopIteration as end:
            outcomes: list[Outcome[DistilledKey]] = end.value
            return outcomes
        if nature.elapsed_s > max_light_s:
            raise QuantumLayerError(
                f"at {run.loss_db:g} dB, {run.system} gave too few clicks in {max_light_s:.0f} s",
                remedy="shorten the link, use better detectors, or take smaller blocks",
            )
        progress = 0.99 * alice.progress  # what is left is error correction and amplification
        if progress - told >= PROGRESS_STEP:
            told = progress
            yield encode_report(LinkQuality(run.order_id, run.link_id, progress, nature.elapsed_s / run.pairs))


def _figures(
    run: LinkRun, nature: Nature, system: QKDSystem, security: SecurityParameters, key: DistilledKey
) -> LinkQuality:
    """Return what one session counted; rates are over the link time of the events that it used."""
    link_time_s = key.link_slots / system.source.pulse_rate_hz / run.pairs
    details = {
        "link_slots": float(key.link_slots),
        "detections": float(nature.num_detections),
        "key_bits": float(key.key_bits),
        "secret_bits": float(key.num_bits),
        "leaked_bits": float(key.leaked_bits),
        "verification_bits": float(key.ledger.leaked_bits["verification"]),
        "estimation_bits": float(key.ledger.estimation_bits),
        "tag_bits": float(key.ledger.tag_bits),
        "pad_bits_spent": float(key.ledger.pad_bits_spent),
        "pad_bits_destroyed": float(key.ledger.pad_bits_destroyed),
        "eps_sec": key.eps_sec,
        "eps_cor": security.eps_cor,
        "eps_auth": security.eps_auth,
        "num_tags": float(security.num_tags),
    }
    for basis_name, basis in (("rectilinear", key.counts.rectilinear), ("diagonal", key.counts.diagonal)):
        for name, clicks, errors in zip(INTENSITY_NAMES, basis.clicks, basis.errors, strict=True):
            details[f"clicks.{basis_name}.{name}"] = float(clicks)
            details[f"errors.{basis_name}.{name}"] = float(errors)
    details |= {f"terms.{name}": value for name, value in key.length.terms.items()}
    return LinkQuality(
        order_id=run.order_id,
        link_id=run.link_id,
        progress=1.0,
        link_time_s=link_time_s,
        qber=key.qber,
        sifted_bits=key.sifted_bits,
        sifted_rate_bits_per_s=key.sifted_bits / link_time_s,
        secret_rate_bits_per_s=key.num_bits / link_time_s,
        f_ec=key.f_ec,
        block_bits=key.key_bits,
        details=details,
    )


def _report(run: LinkRun, node: NodeId, outcome: Outcome[DistilledKey], *, is_root: bool) -> BlockReport | FaultReport:
    key = outcome.result
    if key is None:
        fault = outcome.fault or QanatError("the session ended without a result")
        return FaultReport(node, code_of(fault), fault.message, fault.remedy, is_root=is_root)
    block = KeyBlock(
        block_id=key.block_id,
        order_id=run.order_id,
        link_id=run.link_id,
        local=node,
        peer=run.ends[1] if node == run.ends[0] else run.ends[0],
        origin="twin",
        protocol=PROTOCOL_NAME,
        num_bits=key.num_bits,
        bits=key.secret,
        eps_sec=key.eps_sec,
        eps_cor=key.eps_cor,
        finished_utc_s=0.0,  # stamped where a clock is
    )
    return BlockReport(node, block)


def warm_up(entropy: Entropy, chance: Chance) -> None:
    """Compile (once; cached on disk) and load every kernel that a block needs: make a small one and drop it."""
    pads = entropy.secret_bytes(SESSION_PAD_BITS // 8).take()
    run = LinkRun(
        link_id=LinkId("warm-up"),
        order_id=OrderId("warm-up"),
        ends=(NodeId("one"), NodeId("other")),
        system=next(iter(SYSTEMS)),
        loss_db=10.0,
        chance=chance,
        entropy=entropy,
        pads=(pads, pads),
        min_key_bits=2**18,
    )
    for _ in distil_link(run):
        pass
