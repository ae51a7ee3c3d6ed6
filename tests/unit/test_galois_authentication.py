"""A second, independent authenticator in GF(2^128), in whole sessions in place of the fast one: both refuse alike.

The outside authority for the field is AES-GCM of the cryptography package, whose tag is GHASH of the texts at
H = AES_K(0), hidden by AES_K(nonce || 1) (NIST SP 800-38D, 7.1).
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from authentication_support import GaloisAuthenticator, galois_product, ghash, tags_of
from distillation_support import ArrayLink, Talk, converse, make_parties, small_config
from qanat.ground.authentication import Authenticator, PadAccount
from qanat.ground.framing import decode_frame
from qanat.ground.keys import SecretBytes
from qanat.postprocessing.wire import Kind
from qanat.protocols.decoy import SecurityParameters

CONFIG = small_config(
    frame_bits=2**8, block_bits=2**10, min_key_bits=2**10, max_chunks=64, max_chunk_events=2**12, qber_abort=0.1,
    security=SecurityParameters(eps_auth=1e-18),
)  # fmt: skip
IMPLEMENTATIONS = {"poly1305": Authenticator, "galois": GaloisAuthenticator}
DEEDS = ("alter", "drop", "alter", "repeat", "alter", "swap")

# McGrew, Viega, The Galois/Counter Mode of Operation (2005), test case 2: H, a hidden block, GHASH.
CASE_2_POINT = bytes.fromhex("66e94bd4ef8a2c3b884cfa59ca342b2e")
CASE_2_HIDDEN = bytes.fromhex("0388dace60b6a392f328c2b971b2fe78")
CASE_2_GHASH = bytes.fromhex("f38cbb1ad69223dcc3457ae5b6b0f885")


def aes(key: bytes, block: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)


def test_ghash_is_that_of_the_published_test_case() -> None:
    assert ghash(CASE_2_POINT, b"", CASE_2_HIDDEN) == CASE_2_GHASH


@pytest.mark.parametrize("seed", range(30))
def test_ghash_is_what_aes_gcm_has_under_its_pad(seed: int) -> None:
    dice = random.Random(seed)
    key, nonce = dice.randbytes(16), dice.randbytes(12)
    text, plain = (dice.randbytes(dice.choice((0, 1, 15, 16, 17, 200))) for _ in range(2))
    sealed = AESGCM(key).encrypt(nonce, plain, text)
    hidden, tag = sealed[: len(plain)], sealed[len(plain) :]
    pad = aes(key, nonce + (1).to_bytes(4, "big"))
    assert bytes(one ^ other for one, other in zip(tag, pad, strict=True)) == ghash(aes(key, bytes(16)), text, hidden)


def test_the_field_is_a_field() -> None:
    dice = random.Random(1)
    unit = 1 << 127
    for _ in range(20):
        a, b, c = (dice.getrandbits(128) for _ in range(3))
        assert galois_product(a, b) == galois_product(b, a)
        assert galois_product(a, b ^ c) == galois_product(a, b) ^ galois_product(a, c)
        assert galois_product(galois_product(a, b), c) == galois_product(a, galois_product(b, c))
        assert galois_product(a, unit) == a


def conversation(monkeypatch: pytest.MonkeyPatch, kind: Any, *, seed: int, meddle: Any = None) -> tuple[Talk, Any]:
    """Run a session whose tags are made by one of the implementations."""
    monkeypatch.setattr("qanat.postprocessing.party.Authenticator", kind)
    parties = make_parties(CONFIG, ArrayLink(seed=seed, qber=0.03, events=1500), seed=seed)
    return converse(*parties, meddle=meddle), parties


@pytest.mark.parametrize("seed", range(5))
def test_honest_sessions_are_accepted_under_both_and_differ_in_their_tags_alone(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    talks = {name: conversation(monkeypatch, kind, seed=seed)[0] for name, kind in IMPLEMENTATIONS.items()}
    fast, plain = talks["poly1305"], talks["galois"]
    assert (
        fast.keys["alice"].secret == fast.keys["bob"].secret == plain.keys["alice"].secret == plain.keys["bob"].secret
    )
    assert [one.text for one in tags_of(fast)] == [one.text for one in tags_of(plain)]
    assert all(one.tag != other.tag for one, other in zip(tags_of(fast), tags_of(plain), strict=True))
    for talk in talks.values():
        for key in talk.keys.values():
            assert key.ledger.pad_bits_spent == 2 * (128 + 3 * CONFIG.tag_bits)
            assert key.ledger.tags_sent + key.ledger.tags_checked == len(list(tags_of(talk))) == 6


class Meddler:
    """Spoils one frame of a conversation; SLOTS are left alone, as nobody authenticates them."""

    def __init__(self, deed: str, sender: str, number: int, dice: random.Random) -> None:
        self._deed, self._sender, self._number, self._dice = deed, sender, number, dice
        self._held: list[bytes] = []

    def __call__(self, sender: str, number: int, frame: bytes) -> list[bytes]:
        if sender != self._sender or number != self._number:
            held, self._held = (self._held, []) if sender == self._sender else ([], self._held)
            return [frame, *held]
        if self._deed == "alter":
            place = self._dice.randrange(8, len(frame))  # behind the prefix, which framing reads
            return [frame[:place] + bytes([frame[place] ^ 1 << self._dice.randrange(8)]) + frame[place + 1 :]]
        if self._deed == "swap":
            self._held = [frame]
            return []
        return [] if self._deed == "drop" else [frame, frame]


def frames_to_spoil(talk: Talk) -> list[tuple[str, int, int]]:
    """Sender, number and kind of each frame that can be spoilt to some effect."""
    counts: Counter[str] = Counter()
    found = []
    for sender, data in talk.sent:
        kind = decode_frame(data).kind
        if kind != Kind.SLOTS:
            found.append((sender, counts[sender], kind))
        counts[sender] += 1
    return found


def spoil(monkeypatch: pytest.MonkeyPatch, seeds: range, kinds: dict[str, Any]) -> Counter[str]:
    """Spoil a frame per seed under each implementation; returns how it ended. Fails when one was taken."""
    ends: Counter[str] = Counter()
    honest = {seed: conversation(monkeypatch, Authenticator, seed=seed)[0] for seed in range(4)}
    for seed in seeds:
        dice = random.Random(seed)
        deed, link = DEEDS[seed % len(DEEDS)], dice.randrange(4)
        sender, number, _ = dice.choice(frames_to_spoil(honest[link]))
        outcomes = []
        for kind in kinds.values():
            meddler = Meddler(deed, sender, number, random.Random(seed))
            talk, _ = conversation(monkeypatch, kind, seed=link, meddle=meddler)
            hearer = "bob" if sender == "alice" else "alice"
            was_refused = hearer in talk.faults or hearer not in talk.keys
            assert was_refused, f"seed {seed}: {deed} of frame {number} of {sender} was taken"
            secrets = {key.secret.reveal() for key in talk.keys.values()}
            assert len(secrets) < 2, f"seed {seed}: two different keys"
            outcomes.append(({name: type(fault).__name__ for name, fault in talk.faults.items()}, set(talk.keys)))
            ends[deed] += 1
            ends["by the tag"] += "AuthenticationFailed" in outcomes[-1][0].values()
        assert all(one == outcomes[0] for one in outcomes), f"seed {seed}: {outcomes}"
    return ends


def test_every_spoilt_frame_is_refused_by_both_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = spoil(monkeypatch, range(36), IMPLEMENTATIONS)
    assert [ends[deed] for deed in ("alter", "drop", "repeat", "swap")] == [36, 12, 12, 12]
    assert ends["by the tag"] >= 6


@pytest.mark.slow
def test_every_one_of_400_spoilt_frames_is_refused_by_both_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = spoil(monkeypatch, range(100, 500), IMPLEMENTATIONS)
    assert ends["by the tag"] > 100


@pytest.mark.campaign
def test_every_one_of_10_000_spoilt_frames_is_refused_by_both_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, range(1000, 11_000), IMPLEMENTATIONS)


class BlindAuthenticator(Authenticator):
    """A planted fault: it hashes no more than the first eight bytes of what it is given."""

    def update(self, data: bytes | memoryview) -> None:
        super().update(data[:8])


def test_an_authenticator_that_looks_at_prefixes_only_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AssertionError, match="was taken"):
        spoil(monkeypatch, range(400), {"blind": BlindAuthenticator})


def test_pads_are_of_one_account_under_both() -> None:
    """Same account, same order: hash key, then a pad per tag. So the two can be exchanged for each other."""
    for kind in IMPLEMENTATIONS.values():
        account = PadAccount(SecretBytes(bytes(range(16 + 3 * 12))))
        authenticator: Any = kind(account, tag_bits=96)
        assert account.spent_bits == 128
        for number in range(3):
            authenticator.update(b"text")
            authenticator.tag()
            assert account.spent_bits == 128 + 96 * (number + 1)
