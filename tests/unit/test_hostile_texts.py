"""Texts that are sealed correctly and meant to do harm: refused, told as a refusal, and never kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from qanat.adapters.buffer_line import dial
from qanat.adapters.mailbox import Mailbox
from qanat.ground.errors import BadParameter, FrameError
from qanat.services import texts
from qanat.services.ciphers import RecordKind
from qanat.services.conversation import RefusedByPeer, calling
from qanat.services.texts import Text
from service_support import House, sae_of
from unit.test_file_delivery import run

TEXT_ID = "0123456789abcdef" * 2


def word_bytes(told: Mapping[str, object]) -> bytes:
    return json.dumps(told, sort_keys=True, separators=(",", ":")).encode()


def text_at(utc_s: str) -> bytes:
    return f'{{"body":"hello","sent_utc_s":{utc_s},"text":"{TEXT_ID}"}}'.encode()


HOSTILE = {
    "infinity": text_at("Infinity"),
    "infinity by overflow": text_at("1e999"),
    "not a number": text_at("NaN"),
    "a huge integer": text_at("1" + "0" * 400),
    "a time before all times": text_at("-1"),
    "the year 10000": text_at("253402300800"),
    "half a character": word_bytes({"body": "\ud800", "sent_utc_s": 1, "text": TEXT_ID}),
    "nested without end": b'{"body":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "no object": b"[1]",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_word_is_refused_and_the_inbox_stays_readable(tmp_path: Path, name: str) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob") as bob, house.user("alice") as alice:
            line = await dial("127.0.0.1", bob.port)
            conversation = calling(alice.party, line, sae_of("bob"), service=texts.SERVICE, terms=alice.terms)
            await conversation.greet()
            await conversation.pass_on(await conversation.sealed(HOSTILE[name], kind=RecordKind.CONTROL))
            with pytest.raises(RefusedByPeer):
                await conversation.hear()
            await line.close()
            assert isinstance(await house.fault("bob"), FrameError)
            bob.show_fresh()
            await alice.text("bob", "still here")
        assert [text.body for text in house.texts["bob"]] == ["still here"]

    run(work())


@pytest.mark.parametrize("sent", ["Infinity", "1" + "0" * 400, "-5", '"x"', "[]"])
def test_what_is_unreadable_in_an_inbox_is_set_aside_and_the_rest_is_shown(tmp_path: Path, sent: str) -> None:
    mailbox = Mailbox(tmp_path)
    told = '{{"body":"{}","received_utc_s":2,"sender":"s","sent_utc_s":{},"text_id":"{}"}}'
    (tmp_path / "inbox" / "bad.json").write_text(told.format("bad", sent, "1"), encoding="utf-8")
    (tmp_path / "inbox" / "worse.json").write_text("{", encoding="utf-8")
    (tmp_path / "inbox" / "good.json").write_text(told.format("good", 1, "2"), encoding="utf-8")
    assert [text.body for text in mailbox.fresh()] == ["good"]
    assert sorted(path.name for path in (tmp_path / "aside").iterdir()) == ["bad.json", "worse.json"]


def test_a_text_that_is_no_unicode_does_not_leave_its_sender() -> None:
    with pytest.raises(BadParameter, match="no UTF-8"):
        Text(TEXT_ID, "\udcff", 1.0).check()
