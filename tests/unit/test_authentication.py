"""Wegman-Carter tags: the RFC's vectors, a second implementation by plain arithmetic, forgeries, and pads."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

from authentication_support import plain_poly1305
from qanat.ground.authentication import (
    MESSAGE_KEY_BITS,
    Authenticator,
    PadAccount,
    check_message_tag,
    forgery_probability,
    message_tag,
    tag_bits_for,
)
from qanat.ground.constants import HASH_KEY_BITS, MIN_TAG_BITS, SESSION_PAD_BITS, TAG_BITS, TAGGED_PHASES
from qanat.ground.errors import AuthenticationFailed, PadExhausted
from qanat.ground.keys import SecretBytes

# RFC 8439 (June 2018), section 2.5.2: key, message and tag of the Poly1305 example.
RFC_KEY = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
RFC_MESSAGE = b"Cryptographic Forum Research Group"
RFC_TAG = bytes.fromhex("a8061dc1305136c6c22b8baf0c0127a9")


def pads(num_bytes: int, seed: int = 1) -> PadAccount:
    return PadAccount(SecretBytes(random.Random(seed).randbytes(num_bytes)))


def test_the_rfcs_example() -> None:
    assert message_tag(RFC_KEY, RFC_MESSAGE) == RFC_TAG
    assert plain_poly1305(RFC_KEY, RFC_MESSAGE) == RFC_TAG


@pytest.mark.parametrize(
    ("key", "message", "tag"),
    [
        # RFC 8439, appendix A.3, vectors 7 to 10: sums that reach 2^130 - 5, 2^128 and the carries between.
        ("02" + "00" * 31, "ff" * 16, "03" + "00" * 15),
        ("02" + "00" * 15 + "ff" * 16, "02" + "00" * 15, "03" + "00" * 15),
        ("01" + "00" * 31, "ff" * 16 + "f0" + "ff" * 15 + "11" + "00" * 15, "05" + "00" * 15),
        ("01" + "00" * 31, "ff" * 16 + "fb" + "fe" * 15 + "01" * 16, "00" * 16),
    ],
)
def test_the_rfcs_corner_cases(key: str, message: str, tag: str) -> None:
    assert message_tag(bytes.fromhex(key), bytes.fromhex(message)).hex() == tag
    assert plain_poly1305(bytes.fromhex(key), bytes.fromhex(message)).hex() == tag


@pytest.mark.parametrize("seed", range(100))
def test_both_implementations_agree(seed: int) -> None:
    dice = random.Random(seed)
    key = dice.randbytes(32)
    message = dice.randbytes(dice.choice([0, 1, 15, 16, 17, 31, 32, 33, 1000]))
    cut = dice.randrange(len(message) + 1)
    assert message_tag(key, message[:cut], message[cut:]) == plain_poly1305(key, message)


def test_a_message_key_has_its_length() -> None:
    for num_bytes in (0, 16, 31, 33):
        with pytest.raises(ValueError, match="256 bits"):
            message_tag(bytes(num_bytes), b"")


def test_a_message_is_accepted_as_it_was_and_no_other() -> None:
    tag = message_tag(RFC_KEY, RFC_MESSAGE)
    check_message_tag(RFC_KEY, tag, RFC_MESSAGE)
    for forged_tag, message in ((tag, RFC_MESSAGE + b"\0"), (tag[:-1], RFC_MESSAGE), (b"", RFC_MESSAGE), (tag, b"")):
        with pytest.raises(AuthenticationFailed) as refusal:
            check_message_tag(RFC_KEY, forged_tag, message)
        assert refusal.value.remedy


@pytest.mark.parametrize("seed", range(30))
def test_each_flipped_bit_is_refused(seed: int) -> None:
    dice = random.Random(seed)
    message = bytearray(dice.randbytes(100))
    tag = bytearray(message_tag(RFC_KEY, bytes(message)))
    target = dice.choice([message, tag])
    target[dice.randrange(len(target))] ^= 1 << dice.randrange(8)
    with pytest.raises(AuthenticationFailed):
        check_message_tag(RFC_KEY, bytes(tag), bytes(message))


def test_two_ends_with_the_same_pads_agree_phase_by_phase() -> None:
    seed_bytes = SESSION_PAD_BITS // 16
    sender, receiver = Authenticator(pads(seed_bytes)), Authenticator(pads(seed_bytes))
    for phase in (b"sift", b"", b"amplify"):
        sender.update(phase)
        receiver.update(phase[:2])
        receiver.update(memoryview(phase[2:]))
        receiver.check(sender.tag())


@pytest.mark.parametrize("tag_bits", [MIN_TAG_BITS, 104, TAG_BITS])
def test_a_direction_takes_a_hash_key_and_as_much_pad_per_tag_as_is_sent(tag_bits: int) -> None:
    account = pads((HASH_KEY_BITS + TAGGED_PHASES * tag_bits) // 8)
    authenticator = Authenticator(account, tag_bits=tag_bits)
    for _ in range(TAGGED_PHASES):
        authenticator.update(b"x")
        assert len(authenticator.tag()) == tag_bits // 8
    assert account.left_bits == 0
    assert account.spent_bits == HASH_KEY_BITS + TAGGED_PHASES * tag_bits <= SESSION_PAD_BITS // 2
    with pytest.raises(PadExhausted) as refusal:
        authenticator.update(b"one phase too many")
    assert refusal.value.remedy


def test_tags_are_those_of_one_point_and_fresh_pads() -> None:
    """The construction by hand: r first, then a pad per tag."""
    secret = random.Random(3).randbytes(48)
    authenticator = Authenticator(PadAccount(SecretBytes(secret)))
    tags = []
    for text in (b"first", b"second"):
        authenticator.update(text)
        tags.append(authenticator.tag())
    assert tags == [plain_poly1305(secret[:16] + secret[start : start + 16], text)
                    for start, text in ((16, b"first"), (32, b"second"))]  # fmt: skip


@pytest.mark.parametrize("sizes", [(1, 40_000, 2), (32_767, 1, 32_768), (32_768,), (10,) * 5000])
def test_messages_long_and_short_are_hashed_in_their_order(sizes: tuple[int, ...]) -> None:
    draw = random.Random(4)
    secret, messages = draw.randbytes(32), [draw.randbytes(size) for size in sizes]
    authenticator = Authenticator(PadAccount(SecretBytes(secret)))
    for message in messages:
        authenticator.update(message)
    assert authenticator.tag() == plain_poly1305(secret, b"".join(messages))


def test_the_same_text_twice_has_two_tags() -> None:
    authenticator = Authenticator(pads(48))
    tags = []
    for _ in range(2):
        authenticator.update(b"the same")
        tags.append(authenticator.tag())
    assert tags[0] != tags[1]


def test_a_refused_transcript_is_over() -> None:
    sender, receiver = Authenticator(pads(48)), Authenticator(pads(48))
    sender.update(b"first")
    receiver.update(b"altered")
    with pytest.raises(AuthenticationFailed):
        receiver.check(sender.tag())
    sender.update(b"second")
    receiver.update(b"second")
    receiver.check(sender.tag())


def test_a_tag_of_another_phase_does_not_fit() -> None:
    """Played again under the next pad, the same words with the same tag are refused."""
    sender, receiver = Authenticator(pads(48)), Authenticator(pads(48))
    sender.update(b"words")
    tag = sender.tag()
    receiver.update(b"words")
    receiver.check(tag)
    receiver.update(b"words")
    with pytest.raises(AuthenticationFailed):
        receiver.check(tag)


def test_an_account_hands_out_every_bit_once_and_in_order() -> None:
    secret = bytes(range(32))
    account = PadAccount(SecretBytes(secret))
    assert account.spend(128) + account.spend(64) == secret[:24]
    assert (account.spent_bits, account.left_bits) == (192, 64)
    with pytest.raises(PadExhausted, match="72 pad bits asked, 64 left of 256"):
        account.spend(72)
    assert account.left_bits == 64, "a refusal spends nothing"
    assert account.spend(64) == secret[24:]


def test_a_destroyed_account_gives_nothing() -> None:
    account = pads(32)
    account.spend(128)
    assert account.destroy() == 128
    assert (account.left_bits, account.destroy()) == (0, 0)
    with pytest.raises(PadExhausted):
        account.spend(8)


def test_an_account_gives_whole_bytes() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        pads(32).spend(12)


@pytest.mark.parametrize(
    ("num_bytes", "blocks"), [(0, 1), (1, 1), (16, 1), (17, 2), (2**20, 2**16), (16 * 2**20, 2**20)]
)
def test_the_bound_on_forgeries_is_bernsteins(num_bytes: int, blocks: int) -> None:
    """8 ceil(L / 16) / 2^106 (Bernstein, The Poly1305-AES message-authentication code, FSE 2005, theorem 3.3)."""
    assert forgery_probability(num_bytes=num_bytes) == pytest.approx(8 * blocks / 2**106)


def test_the_bound_on_forgeries_serves_a_session() -> None:
    """A transcript of 64 MiB stays within the 1e-22 that a session's composition charges per tag."""
    assert forgery_probability(num_bytes=64 * 2**20) < 1e-22
    with pytest.raises(ValueError, match="zero or more"):
        forgery_probability(num_bytes=-1)


def test_forgeries_by_difference_succeed_as_rarely_as_the_bound_says() -> None:
    """An attacker who knows message and tag adds a difference to the message and guesses the tag's difference.

    For a one-block message with the difference d in the block, the tag moves by d r modulo 2^130 - 5 and 2^128. The
    best he can do is to guess r. In 20,000 random keys no guess of a fixed difference holds: the bound is 8 / 2^106,
    so one success would refute it (false alarm: 2e-27).
    """
    dice = random.Random(8)
    message = bytearray(dice.randbytes(16))
    altered = bytes([message[0] ^ 1, *message[1:]])
    move = dice.randrange(2**128)
    for _ in range(20_000):
        key = dice.randbytes(32)
        tag = int.from_bytes(message_tag(key, bytes(message)), "little")
        forged = (tag + move) % 2**128
        assert int.from_bytes(message_tag(key, altered), "little") != forged


def test_a_small_hash_meets_the_bound_of_its_family() -> None:
    """The same construction modulo 257: over all points r, no difference is hit more often than degree allows.

    What makes the tag safe is that two messages of n blocks collide, with any fixed difference, for at most n points.
    Counted over every point for 200 random pairs of 4 blocks.
    """
    dice = random.Random(9)
    for _ in range(200):
        one, other = ([dice.randrange(256) for _ in range(4)] for _ in range(2))
        if one == other:
            continue
        moves = [(small_hash(one, point) - small_hash(other, point)) % 257 for point in range(257)]
        assert max(moves.count(move) for move in set(moves)) <= 4


def small_hash(blocks: list[int], point: int) -> int:
    value = 0
    for block in blocks:
        value = (value + block) * point % 257
    return value


@pytest.mark.parametrize("seed", range(50))
def test_a_short_tag_is_the_low_bits_of_the_whole_one_whatever_the_pad_has_above(seed: int) -> None:
    """Hash and pad are added modulo 2^128; carries go upwards only, so the low bits need the pad's low bits alone."""
    dice = random.Random(seed)
    tag_bits = dice.randrange(MIN_TAG_BITS, TAG_BITS + 8, 8)
    point, pad, text = dice.randbytes(16), dice.randbytes(tag_bits // 8), dice.randbytes(dice.randrange(200))
    authenticator = Authenticator(PadAccount(SecretBytes(point + pad)), tag_bits=tag_bits)
    authenticator.update(text)
    tag = authenticator.tag()
    above = dice.randbytes(16 - len(pad))
    assert tag == plain_poly1305(point + pad + above, text)[: tag_bits // 8]


@pytest.mark.parametrize("tag_bits", [0, 56, 100, 136])
def test_a_tag_of_another_size_is_refused(tag_bits: int) -> None:
    with pytest.raises(ValueError, match="whole bytes, 64 to 128 bits"):
        Authenticator(pads(64), tag_bits=tag_bits)


@pytest.mark.parametrize("eps_auth", [0.5, 1e-6, 1e-12, 1e-15, 1e-18, 1e-22, 1e-24])
@pytest.mark.parametrize("num_bytes", [0, 16, 2**16, 2**20 + 1, 2**26])
def test_a_tag_is_as_short_as_its_epsilon_allows_and_no_shorter(eps_auth: float, num_bytes: int) -> None:
    """Held against exact fractions: 8 blocks / 2^106 for each of the 2^(128 - t) differences that t bits leave open."""

    def odds(tag_bits: int) -> Fraction:
        return Fraction(8 * max(1, -(-num_bytes // 16)) * 2 ** (128 - tag_bits), 2**106)

    if odds(TAG_BITS) > eps_auth:
        with pytest.raises(ValueError, match="take smaller blocks or a greater eps_auth"):
            tag_bits_for(eps_auth, num_bytes=num_bytes)
        return
    tag_bits = tag_bits_for(eps_auth, num_bytes=num_bytes)
    assert odds(tag_bits) <= Fraction(eps_auth)
    assert tag_bits == MIN_TAG_BITS or odds(tag_bits - 8) > Fraction(eps_auth)
    assert forgery_probability(num_bytes=num_bytes, tag_bits=tag_bits) == min(1.0, float(odds(tag_bits)))


def test_no_tag_is_stronger_than_a_guess() -> None:
    for tag_bits in range(MIN_TAG_BITS, TAG_BITS + 8, 8):
        assert forgery_probability(num_bytes=0, tag_bits=tag_bits) >= 2.0**-tag_bits


def test_the_bound_of_short_tags_holds_in_a_small_field_at_every_point_and_that_of_whole_ones_does_not() -> None:
    """Poly1305 in small: polynomials over GF(1021), 1021 = 2^10 - 3, their values cut to 8 bits and then to 4.

    Differences of two values lie between -1020 and 1020, so 8 of them, at most, are one difference modulo 2^8: the 8 of
    Bernstein's bound. Counted over every point r, for 100 random pairs of n blocks and every difference modulo 2^4.
    """
    dice = random.Random(10)
    exceeded = 0
    for _ in range(100):
        num_blocks = dice.randrange(1, 4)
        one, other = ([dice.randrange(1021) for _ in range(num_blocks)] for _ in range(2))
        if one == other:
            continue
        values = [[small_tag(blocks, point) for point in range(1021)] for blocks in (one, other)]
        for bits, opened in ((8, 1), (4, 2**4)):
            moves = [(first - second) % 2**bits for first, second in zip(*values, strict=True)]
            most = max(moves.count(move) for move in set(moves))
            assert most <= 8 * num_blocks * opened
            exceeded += bits == 4 and most > 8 * num_blocks
    assert exceeded > 90, "short tags need the factor that they are given"


def small_tag(blocks: list[int], point: int) -> int:
    value = 0
    for block in blocks:
        value = (value + block) * point % 1021
    return value % 2**8


def test_message_keys_have_room_for_point_and_pad() -> None:
    assert MESSAGE_KEY_BITS == HASH_KEY_BITS + TAG_BITS == 256
