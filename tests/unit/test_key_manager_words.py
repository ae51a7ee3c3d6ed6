"""Words between key managers: there and back, and nothing else gets in; a relay hop sealed and opened."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.errors import AuthenticationFailed, FrameError
from qanat.ground.identifiers import (
    BlockId,
    Epoch,
    EventId,
    LinkId,
    MessageId,
    NodeId,
    OrderId,
    RequestId,
    SaeId,
)
from qanat.ground.keys import BitRange, BlockSlice, PoolId, SecretBytes, SpentBits
from qanat.ground.messages import Message, decode_message, encode_message
from qanat.ground.orders import LinkForecast
from qanat.key_management import wire
from qanat.key_management.codec import KINDS, decode_word, encode_word, kind_of
from qanat.key_management.sealing import check_shape, key_batch, seal, unseal

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
LINK = LinkId("a-b")
RANGE = BitRange((BlockSlice(BlockId("block"), 8, 8 + MESSAGE_KEY_BITS + 512),))
RELAY = wire.Relay(
    relay_id="r",
    route=(A, B, C),
    hop=1,
    link_id=LINK,
    pad_range=RANGE,
    master=SaeId("alice"),
    slave=SaeId("bob"),
    ids_from="ids",
    num_keys=2,
    size_bits=128,
    origin="twin",
    created_utc_s=1.5e9,
    request_id=None,
    tag="00" * 16,
)
WORDS: list[wire.Word] = [
    wire.ControllerHere(5, rules=True),
    wire.Announce(1, 2, (wire.LinkReport(LINK, 5, 2.5, "device", None, 7.5),)),
    wire.Announce(1, 2, (wire.LinkReport(LINK, 5, 2.5, "twin", None, module_away=None),)),
    wire.Announce(1, 2, (), (B, C), "the certificate of a was revoked"),
    wire.ForecastsTold((LinkForecast(LINK, 0.5, 2.5, 7),)),
    wire.StockReport(LINK, 5, 7),
    wire.GenerationRequest("d", A, C, 512, (wire.PoolShortage(LINK, A, 3),), RequestId("q")),
    wire.OrderState(OrderId("o"), LINK, "ended", 1, "QBER too high"),
    wire.RouteQuestion(C, (A, B), domestic_only=True, direct_only=False, measure="freshest"),
    wire.RouteAnswer(
        wire.RouteQuestion(C, (B,), domestic_only=False, direct_only=True, measure="widest"),
        *(1, 2, ((A, C), (A, B, C)), ((A, C),), (B,)),
    ),
    wire.RoutesPushed(
        1, 2, ((A, B), (A, B, C)), ((A, C),), (LINK,), (wire.RouteChoices(C, ((A, C),), ((A, B, C),), (B,)),)
    ),
    wire.SharesPushed(
        1, 2, (wire.WeightedWays(C, ((A, C), (A, B, C)), (2.5, 1.0)),), (wire.Ration("alice bob", C, 3.5, 1.5),)
    ),
    wire.GenerationCommand(OrderId("o"), LINK, 1),
    wire.OrderPoll(OrderId("o"), LINK),
    wire.OrderCancel(OrderId("o"), LINK, "late"),
    wire.GenerationDone("d"),
    wire.GenerationFailed("d", "no"),
    wire.GenerationFailed("d", "no", "wait", again_s=2.5),
    wire.EpochOpened(3, "ab"),
    wire.EpochKnown(2, "cd", "ab"),
    wire.EpochFollows(3, "ab", 2, "cd", restored=True),
    wire.EpochRemembered("ab"),
    wire.SessionPads(OrderId("o"), LINK, 1, RANGE),
    wire.SessionReady(OrderId("o"), RANGE),
    wire.SessionRefused(OrderId("o"), RANGE, "no"),
    wire.BlockStored(BlockId("b"), OrderId("o"), confirmed=True),
    wire.BlocksMissing((BlockId("b"),)),
    wire.KeyAnnounced(
        BlockId("b"), LINK, 8, "twin", 1.5e9, 2e-9, 2e-15, (wire.AnnouncedPart(LINK, A, RANGE, "00" * 16),)
    ),
    wire.AnnouncementHeard(BlockId("b")),
    RELAY,
    wire.RelayDelivered("r", "00" * 16),
    wire.RelayFailed("r", B, "no", ()),
    wire.RelayVoid("r", "ids", 2),
    wire.RelayVoided("r"),
]


def message(kind: str, fields: dict[str, Any], body: bytes = b"") -> Message:
    return Message(MessageId("m"), kind, Epoch(1), EventId("e"), fields, body)


def test_every_word_of_the_table_is_tried_here() -> None:
    assert {kind_of(type(word)) for word in WORDS} == set(KINDS)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_a_word_comes_back_from_its_message(word: wire.Word) -> None:
    kind, fields = encode_word(word)
    assert decode_word(decode_message(encode_message(message(kind, fields)))) == word


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
@pytest.mark.parametrize("wrong", [None, True, -1, 1.5, "text", [1], [["text"]], {"a": 1}], ids=repr)
def test_no_field_takes_what_it_is_not(word: wire.Word, wrong: Any) -> None:
    """Each field of each word, replaced by something wrong, is refused, or else says the very thing it was given."""
    kind, fields = encode_word(word)
    for name in fields:
        try:
            read = decode_word(message(kind, {**fields, name: wrong}))
        except FrameError:
            continue
        assert encode_word(read) == (kind, {**fields, name: wrong})


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
def test_fields_are_neither_left_out_nor_added(word: wire.Word) -> None:
    kind, fields = encode_word(word)
    for name in fields:
        with pytest.raises(FrameError):
            decode_word(message(kind, {key: value for key, value in fields.items() if key != name}))
    with pytest.raises(FrameError):
        decode_word(message(kind, {**fields, "more": 1}))


def test_no_word_names_an_empty_range() -> None:
    words = [word for word in WORDS if hasattr(word, "pad_range")]
    assert len(words) == 4
    for word in words:
        kind, fields = encode_word(word)
        with pytest.raises(FrameError, match="empty"):
            decode_word(message(kind, {**fields, "pad_range": []}))


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(FrameError, match="unknown kind"):
        decode_word(message("key-please", {}))


# ---- one hop ----


def spent() -> SpentBits:
    return SpentBits(PoolId(LINK, A), RANGE, SecretBytes(bytes(range(RANGE.num_bits // 8))))


def sealed() -> tuple[wire.Relay, bytes]:
    return seal(replace(RELAY, pad_range=BitRange(()), tag=""), SecretBytes(b"k" * 64), spent())


def test_a_sealed_hop_opens_with_the_same_bits() -> None:
    word, body = sealed()
    assert unseal(word, body, spent()) == SecretBytes(b"k" * 64)
    assert b"k" * 4 not in body
    check_shape(word, body, sender=A, node=B)


@pytest.mark.parametrize(
    "change",
    [
        {"relay_id": "s"},
        {"route": (A, B)},
        {"hop": 2},
        {"link_id": LinkId("x")},
        {"master": SaeId("eve")},
        {"slave": SaeId("eve")},
        {"ids_from": "other"},
        {"num_keys": 1},
        {"size_bits": 64},
        {"origin": "device"},
        {"created_utc_s": 0.0},
        {"request_id": RequestId("other")},
        {"pad_range": BitRange((BlockSlice(BlockId("other"), 8, 520),))},
        {"tag": "01" * 16},
        {"share": 2, "shares": 2},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_altered_field_fails_at_the_tag(change: dict[str, Any]) -> None:
    word, body = sealed()
    with pytest.raises(AuthenticationFailed):
        unseal(replace(word, **change), body, spent())


@pytest.mark.parametrize("place", [0, 15, 31, 32, 63])
def test_any_altered_ciphertext_fails_at_the_tag(place: int) -> None:
    word, body = sealed()
    altered = body[:place] + bytes([body[place] ^ 0x80]) + body[place + 1 :]
    with pytest.raises(AuthenticationFailed):
        unseal(word, altered, spent())


@pytest.mark.parametrize(
    ("change", "sender", "body_bytes"),
    [
        ({}, C, 64),
        ({"hop": 0}, A, 64),
        ({"hop": 3}, A, 64),
        ({"route": (A, B, A)}, A, 64),
        ({}, A, 63),
        ({"num_keys": 0}, A, 32),
        ({"num_keys": 2**16 + 1}, A, 64),
        ({"num_keys": 3}, A, 64),
        ({"size_bits": 0}, A, 32),
        ({"size_bits": 64}, A, 48),
        ({"tag": "zz" * 16}, A, 64),
        ({"tag": ""}, A, 64),
        ({"share": 0}, A, 64),
        ({"share": 3, "shares": 2}, A, 64),
        ({"share": 9, "shares": 9}, A, 64),
    ],
)
def test_a_word_that_no_peer_may_say_is_refused(change: dict[str, Any], sender: NodeId, body_bytes: int) -> None:
    with pytest.raises(FrameError):
        check_shape(replace(sealed()[0], **change), bytes(body_bytes), sender=sender, node=B)


def test_keys_are_cut_in_order_with_route_and_cost() -> None:
    keys = key_batch([RELAY], [SecretBytes(bytes(16) + b"\xff" * 16 + b"c" * 32)]).one_by_one()
    assert [key.secret.reveal() for key in keys] == [bytes(16), b"\xff" * 16]
    assert [key.qkd_bits_spent for key in keys] == [2 * 128 + 512, 2 * 128 + 512]
    assert {key.route for key in keys} == {(A, B, C)}
