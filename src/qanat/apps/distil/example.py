"""Example records from a twin: what a hardware group's recorder would have written, to try ``qanat distil`` at once.

    <folder>/alice/{link.auth, raw.npz or sifted.npz, counts.json}    <folder>/bob/{the same names}

Nature's seed fixes which pulses clicked and which bits are wrong; the bits and the keys are the system's entropy.
Alice's record holds the slots in which Bob's detectors fired: of 10^10 pulses nobody keeps all.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.adapters.initial_keys import INITIAL_KEY_FRAME
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import write_private
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.distil.counts_file import counts_text
from qanat.apps.distil.record_files import write_raw_alice, write_raw_bob, write_sifted
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Json
from qanat.ground.framing import encode_frame
from qanat.ground.identifiers import uuid4_from
from qanat.ground.randomness import SeededChance
from qanat.physics.systems import system_named
from qanat.postprocessing.records import ByteArray, Preparations
from qanat.protocols.decoy import DECOY, SIGNAL, VACUUM
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.link_plan import LinkTask
from qanat.quantum_layer.nature import CHUNK_S, Nature
from qanat.quantum_layer.record_counts import GivenBasis, RangeCounts, RecordCounts
from qanat.quantum_layer.recorded import RawDetections, RawPreparations, SiftedBits

ENDS: Final = ("alice", "bob")
COUNTS_NAME: Final = "counts.json"
LINK_NAME: Final = "example"
PADS_OF_BLOCKS: Final = 256
TWIN: Final = "twin: no photon was sent, and whoever has both files has the keys"
MAX_SIFTED_BITS: Final = 2**31


@dataclass(frozen=True, slots=True)
class ExampleFiles:
    """Where the parts of one party lie, and how many events or bits its record has."""

    record: Path
    key: Path
    num_events: int


def make_raw(folder: Path, task: LinkTask, *, seed: int) -> dict[str, ExampleFiles]:
    """Let a twin's light shine; write both parties' records and keys. Raises ConfigurationError, MachineFault."""
    _check_empty(folder)
    protocol = protocol_of(system_named(task.system))
    bob, alice = _shine(task, seed=seed)
    paths = _paths(folder, "raw.npz")
    write_raw_bob(paths["bob"].record, bob, protocol, origin=TWIN)
    write_raw_alice(paths["alice"].record, alice, protocol, origin=TWIN)
    _write_keys(paths)
    return {name: ExampleFiles(one.record, one.key, bob.num_events) for name, one in paths.items()}


def make_counted(folder: Path, task: LinkTask, *, num_ranges: int, seed: int) -> dict[str, ExampleFiles]:
    """Sift a twin's light; write both parties' sifted signal, what was counted, and keys. No signal is told.

    The light is that of ``make_raw`` with the same task and seed. It is cut into ``num_ranges`` of equal time. Raises
    ConfigurationError, MachineFault.
    """
    _check_empty(folder)
    bob, alice = _shine(task, seed=seed)
    same = alice.bases == bob.bases
    is_key = same & (alice.intensities == SIGNAL)
    bases = bob.bases[is_key]
    cuts = np.searchsorted(bob.slots, np.linspace(0, task.num_pulses, num_ranges + 1).astype(np.uint64))
    ranges, first_bit = [], 0
    for start, stop in itertools.pairwise(cuts.tolist()):
        part = slice(start, stop)
        num_bits = int(is_key[part].sum())
        differ = alice.bits[part] != bob.bits[part]
        rectilinear, diagonal = (
            _counted(alice.intensities[part], same[part] & (bob.bases[part] == basis), differ) for basis in (0, 1)
        )
        ranges.append(RangeCounts(first_bit, num_bits, rectilinear, diagonal))
        first_bit += num_bits
    counts = RecordCounts(protocol_of(system_named(task.system)), tuple(ranges), origin=TWIN)
    paths = _paths(folder, "sifted.npz")
    for name, bits in (("alice", alice.bits[is_key]), ("bob", bob.bits[is_key])):
        write_sifted(paths[name].record, SiftedBits(bits, bases), origin=TWIN)
        with machine_faults_named(paths[name].record):
            write_private(paths[name].record.with_name(COUNTS_NAME), counts_text(counts).encode())
    _write_keys(paths)
    return {name: ExampleFiles(one.record, one.key, int(bases.size)) for name, one in paths.items()}


def _counted(intensities: ByteArray, fits: NDArray[np.bool_], differ: NDArray[np.bool_]) -> GivenBasis:
    """Count what fits; of the signal no error is known, for none of it was told."""
    clicks = [int((fits & (intensities == number)).sum()) for number in (SIGNAL, DECOY, VACUUM)]
    errors = [int((fits & differ & (intensities == number)).sum()) for number in (DECOY, VACUUM)]
    return GivenBasis((clicks[0], clicks[1], clicks[2]), (0, errors[0], errors[1]))


def _shine(task: LinkTask, *, seed: int) -> tuple[RawDetections, RawPreparations]:
    system = system_named(task.system)
    nature = Nature(
        system,
        loss_db=task.loss_db,
        chance=SeededChance(seed).child("record"),
        entropy=SystemEntropy(),
        slots_per_chunk=max(1, min(task.num_pulses, round(CHUNK_S * system.source.pulse_rate_hz))),
        extra_error=task.disturbance,
        max_slots=task.num_pulses,
    )
    found, prepared = [], []
    while nature.num_pulses < task.num_pulses:
        found.append(nature.detections.next_chunk())
        prepared.append(nature.preparations.reveal(found[-1].slots))
    slots = np.concatenate([part.slots for part in found])
    bases, bits = (np.concatenate([getattr(part, name) for part in found]) for name in ("bases", "bits"))
    return RawDetections(slots, bases, bits, task.num_pulses), _preparations(prepared, slots, task.num_pulses)


def make_sifted(folder: Path, *, num_bits: int, qber: float, seed: int) -> dict[str, ExampleFiles]:
    """Write both parties' sifted records with errors at a stated rate, and keys."""
    if not 1 <= num_bits <= MAX_SIFTED_BITS or not 0 <= qber <= 0.5:
        raise ConfigurationError(
            f"{num_bits} bits at an error rate of {qber:g} cannot be made",
            remedy=f"--sifted-bits from 1 to {MAX_SIFTED_BITS}, --qber from 0 to 0.5",
        )
    _check_empty(folder)
    bits = np.unpackbits(_secret(num_bits // 8 + 1), count=num_bits)
    bases = np.unpackbits(_secret(num_bits // 8 + 1), count=num_bits)
    dice = np.random.default_rng(SeededChance(seed).child("errors").seed_words())
    wrong = bits ^ (dice.random(num_bits, dtype=np.float32) < qber)
    paths = _paths(folder, "sifted.npz")
    write_sifted(paths["alice"].record, SiftedBits(bits, bases), origin=TWIN)
    write_sifted(paths["bob"].record, SiftedBits(wrong.astype(np.uint8), bases), origin=TWIN)
    _write_keys(paths)
    return {name: ExampleFiles(one.record, one.key, num_bits) for name, one in paths.items()}


def _preparations(parts: list[Preparations], slots: np.ndarray, num_slots: int) -> RawPreparations:
    names = ("bases", "bits", "intensities")
    columns: list[ByteArray] = [np.concatenate([getattr(part, name) for part in parts]) for name in names]
    return RawPreparations(columns[0], columns[1], columns[2], num_slots, slots)


def _paths(folder: Path, record: str) -> dict[str, ExampleFiles]:
    return {name: ExampleFiles(folder / name / record, folder / name / "link.auth", 0) for name in ENDS}


def _check_empty(folder: Path) -> None:
    with machine_faults_named(folder):
        if folder.exists() and any(folder.iterdir()):
            raise ConfigurationError(f"{folder} is not empty", remedy="name a new folder: nothing is overwritten")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _secret(num_bytes: int) -> ByteArray:
    return np.frombuffer(SystemEntropy().secret_bytes(num_bytes).take(), dtype=np.uint8)


def _write_keys(paths: dict[str, ExampleFiles]) -> None:
    """Write one initial key twice: a copy for each party."""
    entropy = SystemEntropy()
    num_bits = PADS_OF_BLOCKS * SESSION_PAD_BITS
    header: dict[str, Json] = {
        "block_id": uuid4_from(entropy.public_bytes(16)),
        "created_utc_s": SystemClock().utc_s(),
        "ends": list(ENDS),
        "link_id": LINK_NAME,
        "num_bits": num_bits,
    }
    frame = encode_frame(INITIAL_KEY_FRAME, header, entropy.secret_bytes(num_bits // 8).take())
    for one in paths.values():
        with machine_faults_named(one.key):
            write_private(one.key, frame)
