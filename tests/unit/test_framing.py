"""Frames: what is encoded is decoded, and nothing else is."""

from __future__ import annotations

import json
import random
import struct

import pytest

from qanat.ground import framing
from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.framing import Frame, canonical_json, decode_frame, encode_frame, frame_length


def raw_frame(head: bytes, body: bytes = b"", *, kind: int = 1, version: int = framing.VERSION) -> bytes:
    return struct.pack(">IBBH", 4 + len(head) + len(body), version, kind, len(head)) + head + body


def test_the_bytes_are_those_of_the_grammar() -> None:
    assert encode_frame(7, {"b": 1, "a": "ü"}, b"xyz").hex() == (
        "00000017" + "01" + "07" + "0010" + '{"a":"ü","b":1}'.encode().hex() + b"xyz".hex()
    )
    assert encode_frame(0) == b"\0\0\0\6\1\0\0\2{}"


@pytest.mark.parametrize(
    "header",
    [{}, {"b": 1, "a": -(2**70)}, {'ü\n"': 0, "a\\": 3, "\u2028\x7f": 5}, {"a": True, "b": 1}, {"a": 1, "b": "x"}],
)
def test_there_is_one_spelling_of_a_header(header: dict[str, Json]) -> None:
    expected = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert canonical_json(header) == expected
    assert decode_frame(encode_frame(7, header)).header == header


@pytest.mark.parametrize("seed", range(50))
def test_what_is_encoded_is_decoded(seed: int) -> None:
    dice = random.Random(seed)
    header: dict[str, Json] = {
        "".join(dice.choices("abcü\n\"'", k=3)) + str(i): dice.choice(
            [None, True, -3, 2**70, 0.1, -0.0, 1e300, "text\u2028\0", [1, [2, {"x": []}]], {}]
        )
        for i in range(dice.randrange(6))
    }
    body = dice.randbytes(dice.choice([0, 1, 1000]))
    kind = dice.randrange(256)
    frame = encode_frame(kind, header, memoryview(body))
    assert decode_frame(frame) == Frame(kind, header, body)
    assert frame_length(frame[:4]) == len(frame) - 4
    assert "body" not in repr(decode_frame(frame)), "a body may be secret or large"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (b'{"a":NaN}', "no number"),
        (b'{"a":Infinity}', "no number"),
        (b'{"a":1e999}', "becomes infinite"),
        (b'{"a":1,"a":2}', "a key twice"),
        (b'{"a": 1}', "a blank"),
        (b'{"b":1,"a":2}', "order"),
        (b'{"a":"\\ud800"}', "half a character"),
        (b'{"a":"\\u0061"}', "an escape where none is needed"),
        (b"\xef\xbb\xbf{}", "a byte order mark"),
        ('{"a":1}'.encode("utf-16"), "another encoding"),
        (b'{"a":"\xff"}', "no UTF-8"),
        (b"[]", "no object"),
        (b"null", "no object"),
        (b"", "nothing"),
        (b"{", "half an object"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deeper than any of ours"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number of thousands of digits"),
    ],
)
def test_a_header_has_one_spelling(head: bytes, why: str) -> None:
    with pytest.raises(FrameError):
        decode_frame(raw_frame(head))


@pytest.mark.parametrize("seed", range(200))
def test_no_strangers_bytes_raise_anything_else(seed: int) -> None:
    """Damaged frames decode to something or raise FrameError; what decodes can be written again."""
    dice = random.Random(seed)
    frame = bytearray(encode_frame(3, {"name": "x", "list": [1, 2.5, None]}, b"body"))
    for _ in range(dice.randrange(1, 4)):
        frame[dice.randrange(len(frame))] = dice.randrange(256)
    data = bytes(frame[: dice.choice([len(frame), dice.randrange(len(frame))])])
    try:
        decoded = decode_frame(data)
    except FrameError:
        return
    assert encode_frame(decoded.kind, decoded.header, decoded.body) == data


def test_every_cut_and_every_addition_is_refused() -> None:
    frame = encode_frame(3, {"a": 1}, b"body")
    for stop in range(len(frame)):
        with pytest.raises(FrameError):
            decode_frame(frame[:stop])
    with pytest.raises(FrameError):
        decode_frame(frame + b"x")


def test_another_version_is_refused_with_a_remedy() -> None:
    with pytest.raises(FrameError, match="version 2") as refusal:
        decode_frame(raw_frame(b"{}", version=2))
    assert refusal.value.remedy


def test_a_header_that_leaves_its_frame_is_refused() -> None:
    with pytest.raises(FrameError, match="longer than its frame"):
        decode_frame(struct.pack(">IBBH", 6, 1, 1, 3) + b"{}")


@pytest.mark.parametrize("length", [0, 3, framing.MAX_FRAME_BYTES - 3, 2**32 - 1])
def test_a_length_is_bounded_before_anything_is_read(length: int) -> None:
    with pytest.raises(FrameError, match="outside"):
        frame_length(length.to_bytes(4, "big"))


@pytest.mark.parametrize("length", [4, framing.MAX_FRAME_BYTES - 4])
def test_lengths_up_to_the_bounds_pass(length: int) -> None:
    assert frame_length(length.to_bytes(4, "big")) == length


def test_what_is_too_long_is_not_encoded() -> None:
    with pytest.raises(ValueError, match="too long"):
        encode_frame(1, {"a": "x" * 2**16})
    with pytest.raises(ValueError, match="too long"):
        encode_frame(1, {}, memoryview(bytearray(framing.MAX_FRAME_BYTES - 9)))


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": float("inf")}, {"a": "\ud800"}])
def test_what_has_no_canonical_spelling_is_not_written(value: dict[str, Json]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the text is the json module's
        canonical_json(value)


def test_canonical_json_does_not_depend_on_order() -> None:
    assert canonical_json({"b": {"d": 1, "c": 2}, "a": []}) == b'{"a":[],"b":{"c":2,"d":1}}'
    assert json.loads(canonical_json({"a": 0.1})) == {"a": 0.1}
