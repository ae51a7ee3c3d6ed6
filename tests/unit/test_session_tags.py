"""The tags of whole sessions: as long as the epsilon asks, just those that Poly1305 has, and paid for to the bit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from authentication_support import plain_poly1305, tags_of
from distillation_support import ArrayLink, SeededEntropy, Talk, converse, generous_proof, make_parties, small_config
from qanat.apps.distil.key_files import description
from qanat.ground.errors import AuthenticationFailed, PeerProtocolError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.identifiers import OrderId
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import MAX_SLOT, AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.config import SessionConfig, _digest
from qanat.postprocessing.sifting import MAX_CHUNK_SLOTS, NONCE_BYTES
from qanat.postprocessing.transcripts import CHUNK_BYTES, most_events
from qanat.postprocessing.wire import Kind
from qanat.protocols.decoy import DecoyProtocol, SecurityParameters

FEW = {"max_chunks": 100, "max_chunk_events": 2**14}
"""A session of few chunks: its phases are short, its tags too."""


def config_of(eps_auth: float, **changes: Any) -> SessionConfig:
    return small_config(security=SecurityParameters(eps_auth=eps_auth), **{**FEW, **changes})


def run(config: SessionConfig, *, pads: bytes, seed: int = 1, events: int = 4096, qber: float = 0.01) -> Talk:
    link = ArrayLink(seed=seed, qber=qber, events=events)
    alice = AliceSession(config, link, SecretBytes(pads), SeededEntropy(seed + 2), proof=generous_proof)
    bob = BobSession(config, link, SecretBytes(pads), SeededEntropy(seed + 3), proof=generous_proof)
    return converse(alice, bob)


@pytest.mark.parametrize(("eps_auth", "tag_bits"), [(1e-26, 128), (1e-22, 112), (1e-18, 104), (1e-12, 80), (1e-6, 64)])
def test_the_tags_on_the_wire_are_those_of_poly1305_by_plain_integers(eps_auth: float, tag_bits: int) -> None:
    """Recomputed from the recorded frames and the pads: hash key and three pads for each direction, Alice's first."""
    config = config_of(eps_auth)
    assert config.tag_bits == tag_bits
    pads = np.random.default_rng(5).bytes(config.pad_bits // 8)
    talk = run(config, pads=pads)
    assert talk.keys["alice"].secret == talk.keys["bob"].secret
    tags = list(tags_of(talk))
    assert [(one.sender, one.phase) for one in tags] == [
        (sender, phase) for phase, first in enumerate(("bob", "bob", "alice"))
        for sender in sorted(("alice", "bob"), key=lambda name: name != first)
    ]  # fmt: skip
    for one in tags:
        half, size = len(pads) // 2, tag_bits // 8
        own = pads[:half] if one.sender == "alice" else pads[half:]
        pad = own[16 + one.phase * size :][:size]
        assert one.tag == plain_poly1305(own[:16] + pad + bytes(16 - size), one.text)[:size]


@pytest.mark.parametrize("eps_auth", [1e-24, 1e-22, 1e-12])
def test_a_spy_who_counts_tags_knows_the_pads_that_were_spent_to_the_bit(eps_auth: float) -> None:
    """Two hash keys of 128 bits, and for every tag on the wire as many bits of pad as it has."""
    config = config_of(eps_auth)
    talk = run(config, pads=bytes(config.pad_bits // 8 + 24))
    seen = 2 * 128 + sum(8 * len(one.tag) for one in tags_of(talk))
    for party in ("alice", "bob"):
        ledger = talk.keys[party].ledger
        assert ledger.pad_bits_spent == seen == config.pad_bits
        assert ledger.pad_bits_destroyed == 8 * 24, "what it was given beyond is gone, and counted"
        said = description(talk.keys[party])["ledger"]
        assert (said["tag_bits"], said["pad_bits_spent"]) == (config.tag_bits, seen)


def test_a_session_that_dies_has_spent_the_pads_that_it_opened_and_destroyed_the_rest() -> None:
    """Bob's second tag is altered: five pads were opened by Alice (her own third was not), as many tags as she saw."""
    config = config_of(1e-22)
    alice, bob = make_parties(config, ArrayLink(seed=1, qber=0.01), seed=1)
    seen = 0

    def flip(sender: str, number: int, frame: bytes) -> list[bytes]:
        nonlocal seen
        seen += sender == "bob" and decode_frame(frame).kind == Kind.TAG
        return [frame[:-1] + bytes([frame[-1] ^ 1])] if seen == 2 and decode_frame(frame).kind == Kind.TAG else [frame]

    talk = converse(alice, bob, meddle=flip)
    assert type(talk.faults["alice"]) is AuthenticationFailed
    ledger = alice.ledger
    assert (ledger.tags_sent, ledger.tags_checked) == (1, 1)
    assert ledger.pad_bits_spent == 2 * 128 + 4 * config.tag_bits
    assert ledger.pad_bits_spent + ledger.pad_bits_destroyed == config.pad_bits


@pytest.mark.parametrize("num_bytes", [0, 1, 13, 15, 16])
def test_a_tag_of_another_length_is_refused(num_bytes: int) -> None:
    def cut(sender: str, number: int, frame: bytes) -> list[bytes]:
        read = decode_frame(frame)
        return [encode_frame(Kind.TAG, body=(read.body + bytes(8))[:num_bytes]) if read.kind == Kind.TAG else frame]

    config = config_of(1e-22)
    assert config.tag_bits // 8 == 14
    talk = converse(*make_parties(config, ArrayLink(seed=1, qber=0.01), seed=1), meddle=cut)
    assert talk.keys == {}
    assert type(talk.faults["alice"]) is AuthenticationFailed


@pytest.mark.parametrize("eps_auth", [1e-22, 1e-15])
@pytest.mark.parametrize("blocks", [1, 4, 100, 400])
def test_the_epsilon_asked_for_holds_for_the_longest_phase(eps_auth: float, blocks: int) -> None:
    config = SessionConfig(OrderId("one"), min_key_bits=blocks * 2**18, security=SecurityParameters(eps_auth=eps_auth))
    odds = Fraction(8 * -(-config.max_phase_bytes // 16) * 2 ** (128 - config.tag_bits), 2**106)
    assert odds <= Fraction(eps_auth) < 2**8 * odds, "no byte too few, none too many"
    assert config.pad_bits == 2 * (128 + 3 * config.tag_bits)


def test_what_the_default_epsilon_takes() -> None:
    """The sizes that the documentation names."""
    assert [SessionConfig(OrderId("one"), min_key_bits=bits).tag_bits for bits in (2**18, 4_000_000, 10**8)] == [
        120,
        120,
        128,
    ]


def test_an_epsilon_that_no_tag_gives_is_refused_before_there_is_a_session() -> None:
    for eps_auth in (1e-40, 1e-28):
        with pytest.raises(ValueError, match=r"eps_auth 1e-.* is too small: a tag of 128 bits over"):
            SessionConfig(OrderId("one"), security=SecurityParameters(eps_auth=eps_auth))


def test_parties_that_ask_for_other_epsilons_find_out_at_once() -> None:
    link = ArrayLink(seed=1, qber=0.01)
    alice, _ = make_parties(config_of(1e-22), link, seed=1)
    _, bob = make_parties(config_of(1e-21), link, seed=1)
    talk = converse(alice, bob)
    assert talk.keys == {}
    assert any("different parameters" in fault.message for fault in talk.faults.values())


@pytest.mark.parametrize(
    ("method", "qber"), [("cascade", 0.01), ("cascade", 0.11), ("winnow", 0.11), ("ldpc", 0.01), ("ldpc", 0.11)]
)
@pytest.mark.parametrize(
    ("frame_bits", "events", "max_chunks"), [(2**12, 20_000, 100), (2**12, 60, 1_000), (2**8, 400, 300)]
)
def test_no_phase_of_an_honest_session_is_longer_than_its_tag_serves(
    method: Any, qber: float, frame_bits: int, events: int, max_chunks: int
) -> None:
    """Few large chunks, many tiny ones, tiny frames: the longest phase is under three quarters of the bound."""
    frame_bits = 2**12 if method == "ldpc" else frame_bits
    config = config_of(
        1e-22, frame_bits=frame_bits, max_chunks=max_chunks, reconciliation=method, qber_abort=0.2, min_key_bits=2**13
    )
    talk = run(config, pads=bytes(config.pad_bits // 8), events=events, qber=qber)
    longest = max(len(one.text) for one in tags_of(talk))
    assert longest < 0.75 * config.max_phase_bytes


def test_what_a_chunk_says_beside_its_bits_fits_the_bound_with_every_number_as_long_as_it_can_be() -> None:
    """A section of packed bits ends in a part of a byte: five of them in SIFTED, one in BASES and in DISCLOSED."""
    most = 2**22
    sifted = dict.fromkeys(("matched", "signal", "told", "used"), most)
    alice = [encode_frame(Kind.COMMIT, body=bytes(NONCE_BYTES)), encode_frame(Kind.SIFTED, sifted)]
    bases = {"events": most, "first": MAX_SLOT, "slots": MAX_CHUNK_SLOTS}
    bob = [encode_frame(Kind.BASES, bases, bytes(NONCE_BYTES)), encode_frame(Kind.DISCLOSED)]
    assert sum(map(len, alice)) + 5 <= CHUNK_BYTES
    assert sum(map(len, bob)) + 2 <= CHUNK_BYTES


def test_an_honest_session_announces_half_of_the_events_that_it_may() -> None:
    protocol = DecoyProtocol(p_intensities=(0.94, 0.055, 0.005))  # what ArrayLink draws
    config = config_of(1e-22, protocol=protocol, min_key_bits=2**15)
    talk = run(config, pads=bytes(config.pad_bits // 8), events=1000)
    frames = [decode_frame(data) for _, data in talk.sent]
    announced = sum(int(str(frame.header["events"])) for frame in frames if frame.kind == Kind.BASES)
    most = most_events(protocol, key_bits=config.key_bits, max_chunk_events=config.max_chunk_events)
    assert announced == pytest.approx((most - config.max_chunk_events) / 2, rel=0.05)


def test_parties_of_versions_that_size_tags_otherwise_find_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The size is part of the digest: the same parameters under another rule are other parameters."""
    config = config_of(1e-22)
    ours = config.digest()
    monkeypatch.setattr("qanat.postprocessing.config.tag_bits_for", lambda *_, **__: 120)
    _digest.cache_clear()
    assert config.digest() != ours
    _digest.cache_clear()


def test_light_that_is_not_as_the_parameters_say_ends_the_session_before_its_tag_is_stretched() -> None:
    """Alice's light is nearly all decoy and 40 chunks hold next to no key, where three should have filled it."""

    class DimLink(ArrayLink):
        def reveal(self, slots: np.ndarray, /) -> Any:
            seen = super().reveal(slots)
            seen.intensities[np.arange(slots.size) % 200 > 0] = 1
            return seen

    config = config_of(1e-22, max_chunk_events=2**16)
    link = DimLink(seed=1, qber=0.01, events=2**16)
    talk = converse(*make_parties(config, link, seed=1))
    assert talk.keys == {}
    fault = next(fault for fault in talk.faults.values() if "were said in one phase" in fault.message)
    assert type(fault) is PeerProtocolError
    assert fault.remedy
    assert Kind.TAG not in {decode_frame(data).kind for _, data in talk.sent}
