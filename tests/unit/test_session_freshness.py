"""What must be fresh is fresh, what must be refused is refused, and pads do not outlive their session.

A constant where a random number belongs changes no key and breaks no test of keys; so each is looked at on the wire.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from distillation_support import (
    ArrayLink,
    SeededEntropy,
    Talk,
    converse,
    generous_proof,
    make_parties,
    small_config,
)
from qanat.ground.authentication import PadAccount
from qanat.ground.errors import AuthenticationFailed, FrameError, PeerProtocolError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.alice import AliceSession
from qanat.postprocessing.bob import BobSession
from qanat.postprocessing.records import Detections, Preparations
from qanat.postprocessing.sifting import NONCE_BYTES, encode_slots
from qanat.postprocessing.verification import hash_key_bytes, num_hash_bits
from qanat.postprocessing.wire import Kind

CONFIG = small_config(min_key_bits=2**14)
HASH_KEY_BYTES = hash_key_bytes(num_hash_bits(CONFIG.security.eps_cor, key_bytes=CONFIG.key_bits // 8))
FRESH_BYTES = {
    Kind.COMMIT: slice(None),
    Kind.BASES: slice(NONCE_BYTES),
    Kind.RECONCILE: slice(None),
    Kind.HASH: slice(HASH_KEY_BYTES),
    Kind.SEED: slice(-1),  # the last byte is cut to the seed's bits
}
"""The part of each frame's body that a party draws anew."""


class WatchedEntropy(SeededEntropy):
    """Remembers all that it handed out in public."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.given: list[bytes] = []

    def public_bytes(self, num_bytes: int, /) -> bytes:
        self.given.append(super().public_bytes(num_bytes))
        return self.given[-1]


def watched_session(seed: int) -> tuple[Talk, dict[str, list[bytes]]]:
    """Run a session of several chunks; returns what was said and what each party's entropy gave."""
    alice, bob = make_parties(CONFIG, ArrayLink(seed=seed, qber=0.01), seed=seed)
    entropies = {"alice": WatchedEntropy(2 * seed), "bob": WatchedEntropy(2 * seed + 1)}
    alice.entropy, bob.entropy = entropies["alice"], entropies["bob"]
    return converse(alice, bob), {name: entropy.given for name, entropy in entropies.items()}


def test_nothing_that_must_be_fresh_is_ever_repeated_and_all_of_it_is_entropy() -> None:
    seen: dict[Kind, list[bytes]] = {kind: [] for kind in FRESH_BYTES}
    for seed in (1, 2):
        talk, given = watched_session(seed)
        assert len(talk.keys) == 2
        for sender, data in talk.sent:
            frame = decode_frame(data)
            if frame.kind not in FRESH_BYTES:
                continue
            kind = Kind(frame.kind)
            drawn = frame.body[FRESH_BYTES[kind]]
            seen[kind].append(drawn)
            assert len(drawn) >= NONCE_BYTES
            assert any(piece.startswith(drawn) for piece in given[sender]), kind.name
    for kind, drawn_ones in seen.items():
        assert len(drawn_ones) >= (8 if kind in (Kind.COMMIT, Kind.BASES) else 2), kind.name
        assert len(set(drawn_ones)) == len(drawn_ones), kind.name


class AskedLink(ArrayLink):
    """Remembers which slots Alice looked up."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.asked: list[np.ndarray] = []

    def reveal(self, slots: np.ndarray, /) -> Preparations:
        self.asked.append(slots)
        return super().reveal(slots)


def test_an_announcement_moved_to_other_slots_is_refused_before_alice_looks_anything_up() -> None:
    def move(sender: str, number: int, frame: bytes) -> list[bytes]:
        read = decode_frame(frame)
        if read.kind != Kind.SLOTS:
            return [frame]
        first = int(read.header["first"])  # type: ignore[call-overload]
        return [encode_frame(Kind.SLOTS, {**read.header, "first": first + 10**9}, read.body)]

    link = AskedLink(seed=1, qber=0.0)
    talk = converse(*make_parties(small_config(), link, seed=1), meddle=move)
    assert talk.keys == {}
    assert type(talk.faults["alice"]) is FrameError
    assert "another chunk" in talk.faults["alice"].message
    assert link.asked == []


class WatchedAccount(PadAccount):
    """Lets a test see the secret of every account that was opened."""

    secrets: list[SecretBytes]

    def __init__(self, secret: SecretBytes) -> None:
        super().__init__(secret)
        self.secrets.append(secret)


@pytest.mark.parametrize("is_cut_short", [False, True])
def test_the_pads_are_gone_when_the_session_is_over(monkeypatch: pytest.MonkeyPatch, is_cut_short: bool) -> None:
    monkeypatch.setattr(WatchedAccount, "secrets", [], raising=False)
    monkeypatch.setattr("qanat.postprocessing.party.PadAccount", WatchedAccount)
    alice, bob = make_parties(small_config(), ArrayLink(seed=1, qber=0.01), seed=1)
    assert len(WatchedAccount.secrets) == 4  # two directions at two parties
    assert all(secret.num_bits == small_config().pad_bits // 2 for secret in WatchedAccount.secrets)
    if is_cut_short:
        for party in (alice, bob):
            party.start()
            with pytest.raises(FrameError):
                party.receive(b"noise")
    else:
        assert len(converse(alice, bob).keys) == 2
    for secret in WatchedAccount.secrets:
        with pytest.raises(ValueError, match="wiped"):
            secret.reveal()


class StoredLight:
    """A line in the hands of somebody with a memory for light.

    Bob is sent pulses of her own making. Alice's pulses are stored; when Bob has told his bases, they are measured in
    these, and ``paired`` picks for each of Bob's detections a pulse of Alice's that shows the bit Bob has.
    """

    def __init__(self, *, seed: int, events: int = 12_000) -> None:
        self._draw = np.random.default_rng(seed)
        self._events, self._num_slots = events, 4 * events
        self._next_slot = 0
        self.piece = self.next_chunk()
        self._next_slot = 0

    def next_chunk(self) -> Detections:
        draw, first = self._draw, self._next_slot
        slots = np.sort(draw.choice(self._num_slots, self._events, replace=False)).astype(np.uint64) + np.uint64(first)
        bases, bits = (draw.integers(0, 2, self._events, dtype=np.uint8) for _ in range(2))
        self._first = first
        self._bases, self._bits = (draw.integers(0, 2, self._num_slots, dtype=np.uint8) for _ in range(2))
        self._intensities = draw.choice(3, self._num_slots, p=(0.94, 0.055, 0.005)).astype(np.uint8)
        self._next_slot += self._num_slots
        self.piece = Detections(first, self._num_slots, slots, bases, bits)
        return self.piece

    def paired(self, bases: np.ndarray) -> np.ndarray:
        """Slots of Alice's, increasing, that fit Bob's bits in the bases he told."""
        slots = np.empty(self._events, dtype=np.uint64)
        place = 0
        for number, (basis, bit) in enumerate(zip(bases.tolist(), self.piece.bits.tolist(), strict=True)):
            while self._bases[place] == basis and self._bits[place] != bit:
                place += 1  # measured in Bob's basis this pulse shows the other bit
            slots[number] = place
            place += 1
        return slots + np.uint64(self._first)

    def reveal(self, slots: np.ndarray, /) -> Preparations:
        """Alice's record."""
        places = (slots - np.uint64(self._first)).astype(np.intp)
        return Preparations(self._bases[places], self._bits[places], self._intensities[places])


def repair_chunk(alice: AliceSession, bob: BobSession, light: StoredLight, announced: bytes) -> list[bytes]:
    """The attack on one chunk: hear the bases for a forged COMMIT, then announce to Alice what fits them."""
    (told,) = bob.receive(encode_frame(Kind.COMMIT, body=bytes(NONCE_BYTES)))
    packed = np.frombuffer(decode_frame(told).body[NONCE_BYTES:], np.uint8)
    bases = np.unpackbits(packed, bitorder="little")[: light.piece.slots.size]
    slots = light.paired(bases)
    width, body = encode_slots(Detections(light.piece.first_slot, light.piece.num_slots, slots, bases, bases))
    alice.receive(encode_frame(Kind.SLOTS, {**decode_frame(announced).header, "width": width}, body))
    (sifted,) = alice.receive(told)
    disclosed, *following = bob.receive(sifted)
    alice.receive(disclosed)
    return following


def test_pairing_pulses_and_detections_anew_after_the_bases_gives_nobody_a_key() -> None:
    """The attack that COMMIT is for (docs/decisions/0003): no error betrays it, Alice's tag does."""
    light = StoredLight(seed=1)
    config = small_config()
    pads = bytes(np.random.default_rng(2).bytes(config.pad_bits // 8))
    alice = AliceSession(config, light, SecretBytes(pads), SeededEntropy(3), proof=generous_proof)
    bob = BobSession(config, light, SecretBytes(pads), SeededEntropy(4), proof=generous_proof)
    hello, announced = bob.start()
    (greeting,) = alice.start()
    alice.receive(hello)
    bob.receive(greeting)
    following = [announced]
    while decode_frame(following[0]).kind == Kind.SLOTS:
        following = repair_chunk(alice, bob, light, following[0])
    assert bob.sifted.is_full
    assert bob.sifted.sample_qber == 0  # the disclosed sample sees nothing
    (tag,) = alice.receive(following[0])  # of what Bob said nothing that has a tag was altered
    with pytest.raises(AuthenticationFailed):
        bob.receive(tag)
    (farewell,) = bob.farewell()
    with pytest.raises(PeerProtocolError, match="other party stopped"):
        alice.receive(farewell)
    assert alice.result() is None
    assert bob.result() is None
