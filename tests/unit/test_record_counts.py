"""Decoy counts that go with a sifted record: what a proof gets of them, what is refused and where, and its length."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distillation_support import SeededEntropy, converse
from qanat.apps.distil.counts_file import COUNTS, counts_text, parse_counts, read_counts
from qanat.apps.distil.example import make_counted, make_raw
from qanat.apps.distil.record_files import read_raw, read_sifted
from qanat.apps.distil.terms import Record, Terms
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import ConfigurationError, PeerProtocolError, QuantumLayerError
from qanat.ground.identifiers import LinkId
from qanat.ground.keys import BitRange, SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import DistilledKey
from qanat.postprocessing.disclosure import ExactChoice
from qanat.protocols.decoy import BasisCounts, DecoyCounts, DecoyProtocol, SecurityParameters
from qanat.protocols.finite_key import secret_length
from qanat.quantum_layer.link_plan import LinkTask
from qanat.quantum_layer.record_counts import USABLE_PROOFS, GivenBasis, ProofFromCounts, RangeCounts, RecordCounts
from qanat.quantum_layer.recorded import (
    RawDetections,
    RawPreparations,
    RecordedDetections,
    RecordedPreparations,
    SiftedBits,
)

PAGE = Path(__file__).parents[2] / "docs" / "formats" / "counts.md"
SIZE = 3 * 4096
BASES = np.arange(SIZE, dtype=np.uint8) % 2
RECORD = SiftedBits(np.zeros(SIZE, dtype=np.uint8), BASES)
HALF = GivenBasis((2_048, 300, 30), (0, 3, 15))
GOOD = RecordCounts(DecoyProtocol(), tuple(RangeCounts(4096 * place, 4096, HALF, HALF) for place in range(3)))


def test_a_proof_gets_the_given_counts_and_the_errors_that_the_session_found() -> None:
    """By hand: 100 of 1,100 signal events were told with 7 errors; the session used 995 bits, 12 wrong; 5 are left."""
    given = GivenBasis((1_100, 300, 30), (7, 3, 15), signal_told=100)
    session = BasisCounts((995, 0, 0), (12, 0, 0), 900)
    assert given.merged(session) == BasisCounts((1_100, 300, 30), (7 + 12 + 5, 3, 15), 900)
    with pytest.raises(QuantumLayerError, match="1001 bits of a basis, 1000 were counted"):
        given.merged(BasisCounts((1_001, 0, 0), (0, 0, 0), 900))


def test_the_length_is_that_of_the_named_proof_on_all_the_light() -> None:
    basis = GivenBasis((2_000_000, 100_000, 1_500), (0, 1_200, 750))
    session = BasisCounts((2_000_000, 0, 0), (12_000, 0, 0), 1_800_000)
    whole = BasisCounts((2_000_000, 100_000, 1_500), (12_000, 1_200, 750), 1_800_000)
    light, security = DecoyProtocol(), SecurityParameters()
    proof = ProofFromCounts(RangeCounts(0, 4_000_000, basis, basis), "hoeffding")
    length = proof(DecoyCounts(session, session), light, security, leaked_bits=250_000)
    expected = secret_length(DecoyCounts(whole, whole), light, security, leaked_bits=250_000)
    assert length.num_bits == expected.num_bits > 500_000
    assert "by decoy counts that were given with the record" in length.proof
    chernoff = replace(proof, proof="chernoff")(DecoyCounts(session, session), light, security, leaked_bits=250_000)
    assert chernoff.num_bits > length.num_bits


def test_only_composable_proofs_of_the_key_that_sessions_make_can_be_named() -> None:
    assert USABLE_PROOFS == ("hoeffding", "chernoff", "chernoff-literal")


def test_counts_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    path.write_text(counts_text(GOOD))
    assert read_counts(path, RECORD) == GOOD
    spelled_otherwise = json.dumps({**json.loads(counts_text(GOOD)), "origin": "a bench"}, indent="\t")
    found = parse_counts(spelled_otherwise, RECORD, source="counts.json")
    assert found.digest() == GOOD.digest()
    other = GivenBasis((2_048, 300, 30), (0, 4, 15))
    changed = replace(GOOD, ranges=(replace(GOOD.ranges[0], diagonal=other), *GOOD.ranges[1:]))
    assert changed.digest() != GOOD.digest()


def changed_text(path: tuple[str | int, ...], value: Any) -> str:
    said: Any = json.loads(counts_text(GOOD))
    part = said
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    return json.dumps(said, indent=1)


def line_of(text: str, words: str, number: int = 1) -> int:
    """Return the line of the ``number``th place where some words stand."""
    place = [found.start() for found in re.finditer(re.escape(words), text)][number - 1]
    return text.count("\n", 0, place) + 1


@pytest.mark.parametrize(
    ("path", "value", "words", "number", "fault"),
    [
        (("format",), "qanat-counts-2", '"format"', 1, "qanat-counts-1"),
        (("ranges", 1, "rectilinear", "clicks"), [2_048, 300], '"clicks"', 3, "clicks.2: Field required"),
        (("ranges", 1, "diagonal", "errors"), [0, 301, 15], "301", 1, "301 errors among 300 decoy events"),
        (
            ("ranges", 0, "diagonal", "errors"),
            [1, 3, 15],
            '"errors": [\n     1,',
            1,
            "1 errors among 0 signal events that were",
        ),
        (("ranges", 2, "rectilinear", "clicks"), [2_047, 300, 30], "2047", 1, "are not the 2048 rectilinear bits"),
        (("ranges", 2, "rectilinear", "signal_told"), 9, "2048", 5, "less 9 told are not the 2048"),
        (("ranges", 2, "num_bits"), 4_097, "4097", 1, "ends at bit 12289, the record at 12288"),
        (("ranges", 1, "first_bit"), 4_000, "4000", 1, "begins at bit 4000, the one before ends at 4096"),
        (("ranges", 0, "num_bits"), 100, "100", 1, "a block cannot be made of 100 bits"),
        (("ranges", 0, "pulses_sent"), [4_095, 682, 682], "4095", 1, "4096 clicks of 4095 signal pulses"),
        (("ranges", 0, "pulses_sent"), [80_000, 10_000, 10_000], "80000", 1, "its stated odds are 0.75"),
        (("ranges", 0, "bits"), 1, '"bits"', 1, "Extra inputs are not permitted"),
        (("ranges", 0, "first_bit"), -1, '"first_bit"', 1, "greater than or equal to 0"),
        (("ranges", 0, "first_bit"), 0.5, '"first_bit"', 1, "valid integer"),
        (("ranges",), [], '"ranges"', 1, "0 ranges"),
        (("proof",), "lim-2014", '"proof"', 1, "no composable proof of undisclosed signal of both bases"),
        (("intensities",), [0.6, 0.7, 0.0], '"intensities"', 1, "mu1 > mu2 + mu3"),
        (("p_rectilinear",), 1.5, '"p_rectilinear"', 1, "must lie between 0 and 1"),
    ],
)
def test_a_fault_is_told_with_its_line(path: Any, value: Any, words: str, number: int, fault: str) -> None:
    text = changed_text(path, value)
    with pytest.raises(ConfigurationError) as caught:
        parse_counts(text, RECORD, source="counts.json")
    assert fault in caught.value.message
    assert caught.value.remedy
    if path != ("p_rectilinear",):  # one message names two fields
        line = line_of(text, words, number) + words.count("\n")
        assert caught.value.message.startswith(f"counts.json:{line}: ")


def test_what_is_no_json_is_told_with_its_line() -> None:
    faults = {'{\n"format": ,': ":2: no JSON", '{"a": 1,\n"a": 2}': "'a' stands twice", "[" * 10_000: "recursion"}
    for text, fault in faults.items():
        with pytest.raises(ConfigurationError, match=re.escape(fault)):
            parse_counts(text, RECORD, source="counts.json")
    with pytest.raises(ConfigurationError, match="does not say in which basis"):
        parse_counts(counts_text(GOOD), SiftedBits(RECORD.bits), source="counts.json")


def column(plane: np.ndarray, size: int) -> np.ndarray:
    return np.unpackbits(plane.view(np.uint8), count=size, bitorder="little")


def test_an_exact_choice_discloses_so_many_whatever_its_pieces() -> None:
    for num_events, num_disclosed in ((2, 1), (63, 1), (65, 64), (4096, 410), (5000, 4999)):
        choice, entropy = ExactChoice(num_events, num_disclosed), SeededEntropy(num_events)
        sizes = (num_events // 3, 0, num_events - num_events // 3)
        pieces = [column(choice(size, p_disclosed=0.1, entropy=entropy), size) for size in sizes]
        assert sum(int(piece.sum()) for piece in pieces) == num_disclosed
        with pytest.raises(ValueError, match="1 more events"):
            choice(1, p_disclosed=0.1, entropy=entropy)
    for wrong in ((5, 0), (5, 5)):
        with pytest.raises(ValueError, match="cannot be disclosed"):
            ExactChoice(*wrong)


def test_every_place_and_pair_is_disclosed_equally_often() -> None:
    """3 of 10, 6,000 times, seeds fixed, 5 sigma: a place has odds 3/10, two neighbours 3/10 x 2/9 together; fails
    falsely once in 100,000 such tests."""
    runs, seen, pairs = 6_000, np.zeros(10), np.zeros(9)
    entropy = SeededEntropy(3)
    for _ in range(runs):
        chosen = column(ExactChoice(10, 3)(10, p_disclosed=0.3, entropy=entropy), 10).astype(float)
        seen += chosen
        pairs += chosen[1:] * chosen[:-1]
    for counts, odds in ((seen, 0.3), (pairs, 0.3 * 2 / 9)):
        assert np.abs(counts - runs * odds).max() < 5 * math.sqrt(runs * odds * (1 - odds))


def terms_for(counts: RecordCounts | None, *, num_bits: int = 0, block_bits: int = 4_000_000) -> Terms:
    light = DecoyProtocol() if counts is None else counts.protocol
    mode = "raw" if counts is None else "sifted"
    security = SecurityParameters()
    return Terms(LinkId("a"), mode, block_bits, light, security, 0.05, None, num_bits, 0, counts=counts)


def test_a_block_begins_where_a_range_does_and_takes_whole_frames() -> None:
    terms = terms_for(GOOD, num_bits=SIZE)
    assert [terms.next_start(slot) for slot in (0, 1, 4096, 8000, 8193)] == [0, 4096, 4096, 8192, None]
    with pytest.raises(PeerProtocolError, match="no range of the counts begins there"):
        terms.session(first_slot=1, pads=BitRange(()))
    config = terms.session(first_slot=4096, pads=BitRange(()))
    assert 0.9 * 4096 - config.frame_bits < config.key_bits <= 0.9 * 4096
    part = terms.part_for(RECORD, 4096)
    assert part.num_slots == 8192
    assert terms.to_json()["counts"] == GOOD.digest()
    assert terms_for(None).to_json()["counts"] == "none"


def distilled(terms: Terms, alice: Record, bob: Record, first: int = 0) -> DistilledKey:
    """Run the two sessions of one block as the two parties' processes do."""
    assert not isinstance(alice, RawDetections)
    assert not isinstance(bob, RawPreparations)
    config, pads = terms.session(first_slot=first, pads=BitRange(())), bytes(SESSION_PAD_BITS // 8)
    preparations = RecordedPreparations(alice, first_slot=first)
    detections = RecordedDetections(bob, first_slot=first, chunk_events=lambda: 700_000)
    proof, choose = terms.proof(first), terms.choice(first)
    talk = converse(
        AliceSession(config, preparations, SecretBytes(pads), SeededEntropy(1), proof=proof, choose=choose),
        BobSession(config, detections, SecretBytes(pads), SeededEntropy(2), proof=proof),
    )
    assert not talk.faults
    assert talk.keys["alice"].secret == talk.keys["bob"].secret
    return talk.keys["alice"]


@pytest.mark.slow
def test_the_same_light_gives_the_same_length_by_its_own_counts_and_by_those_of_the_session(tmp_path: Path) -> None:
    """Alice, Bob and one light: raw records beside sifted bits with counts. What the two ways differ in is which tenth
    is told, and where the block ends (6 % earlier): the share of secret bits is one within two hundredths. And
    the length is what the proof gives for all the light of the raw records, within a thousandth: the bits of double
    clicks are drawn anew in each."""
    task = LinkTask("backbone-625", 10.0, 4.0)
    raw = make_raw(tmp_path / "raw", task, seed=7)
    counted = make_counted(tmp_path / "counted", task, num_ranges=1, seed=7)
    alice, bob = (read_sifted(counted[name].record) for name in ("alice", "bob"))
    counts = read_counts(counted["bob"].record.with_name("counts.json"), bob)
    one = distilled(terms_for(counts, num_bits=bob.num_slots), alice, bob)
    block_bits = one.key_bits // 2**18 * 2**18
    terms = terms_for(None, block_bits=block_bits)
    raw_alice, raw_bob = read_raw(raw["alice"].record, "alice")[0], read_raw(raw["bob"].record, "bob")[0]
    other = distilled(terms, raw_alice, raw_bob)
    assert 0 <= bob.num_slots - one.sifted_bits < 50, "only what was to be told behind the key's last bit is left"
    assert one.key_bits + one.ledger.estimation_bits <= one.sifted_bits
    share, raw_share = one.num_bits / one.key_bits, other.num_bits / other.key_bits
    assert raw_share > 0.25
    assert abs(share / raw_share - 1) < 0.02
    truth = all_counts(raw_alice, raw_bob, one.counts)
    exact = secret_length(truth, counts.protocol, SecurityParameters(), leaked_bits=one.leaked_bits)
    assert one.num_bits == pytest.approx(exact.num_bits, rel=1e-3)


def all_counts(alice: Record, bob: Record, key: DecoyCounts) -> DecoyCounts:
    """Count the whole light by looking at both records at once, as nobody can outside of tests."""
    assert isinstance(alice, RawPreparations)
    assert isinstance(bob, RawDetections)
    bases = []
    for basis, key_bits in enumerate((key.rectilinear.key_bits, key.diagonal.key_bits)):
        fits = (alice.bases == basis) & (bob.bases == basis)
        sent, differ = alice.intensities[fits], (alice.bits != bob.bits)[fits]
        clicks, errors = (np.bincount(part, minlength=3).tolist() for part in (sent, sent[differ]))
        bases.append(BasisCounts(tuple(clicks), tuple(errors), key_bits))
    return DecoyCounts(*bases)


def test_the_page_of_the_format_shows_a_file_that_is_read_and_a_reader_that_runs(tmp_path: Path) -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert COUNTS in page
    (example,) = re.findall(r"```json\n(.*?)```", page, re.S)
    said = json.loads(example)
    (one,) = said["ranges"]
    basis = {name: one[name]["clicks"][0] - one[name]["signal_told"] for name in ("rectilinear", "diagonal")}
    bases = np.repeat(np.uint8([0, 1]), list(basis.values()))
    counts = parse_counts(example, SiftedBits(np.zeros_like(bases), bases), source="counts.json")
    assert counts.num_bits == bases.size
    (reader,) = re.findall(r"```python\n(.*?)```", page, re.S)
    (tmp_path / "counts.json").write_text(example)
    done = subprocess.run([sys.executable, "-c", reader], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(counts.num_bits) in done.stdout
