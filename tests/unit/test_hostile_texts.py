"""Texts that are sealed correctly and meant to do harm: refused, told as a refusal, and never kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from qanat.adapters.buffer_line import dial
from qanat.adapters.mailbox import Mailbox
from qanat.ground.errors import BadParameter, FrameError
from qanat.ground.identifiers import SaeId
from qanat.services import texts
from qanat.services.ciphers import RecordKind, Replayed
from qanat.services.conversation import Party, RefusedByPeer, Terms, answering, calling
from qanat.services.texts import ReceivedText, Text, deliver_texts, take_texts
from service_support import House, sae_of
from unit.service_fakes import ALICE, BOB, FakeClock, FakeEntropy, FakeSupply, KeyStock, line
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
            wire = await dial("127.0.0.1", bob.port)
            conversation = calling(alice.party, wire, sae_of("bob"), service=texts.SERVICE, terms=alice.terms)
            await conversation.greet()
            await conversation.pass_on(await conversation.sealed(HOSTILE[name], kind=RecordKind.CONTROL))
            with pytest.raises(RefusedByPeer):
                await conversation.hear()
            await wire.close()
            assert isinstance(await house.fault("bob"), FrameError)
            bob.show_fresh()
            await alice.text("bob", "still here")
        assert [text.body for text in house.texts["bob"]] == ["still here"]

    run(work())


@pytest.mark.parametrize("which", [0, 1])
def test_a_recipients_record_that_comes_twice_is_named_as_that_wherever_it_comes(
    which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first comes again where the sender is about to speak, the second where it listens."""
    monkeypatch.setattr("qanat.services.conversation.DRAIN_S", 0.01)
    told: list[ReceivedText] = []

    class Inbox:
        async def put(self, text: ReceivedText, /) -> bool:
            told.append(text)
            return True

    def twice(number: int, frame: bytes) -> list[bytes]:
        return [frame, frame] if number == which else [frame]

    async def work() -> None:
        stock, clock, terms = KeyStock(), FakeClock(), Terms(silence_s=2.0)
        left, right = line(back=twice)
        alice, bob = (Party(one, FakeSupply(stock, one), clock, FakeEntropy(one)) for one in (ALICE, BOB))

        async def delivered(recipient: SaeId, text: Text, utc_s: float) -> None:
            await asyncio.sleep(0.05)  # time for the second to come before the next word

        async def listen() -> None:
            await take_texts(await answering(bob, right, terms=terms), Inbox(), party=bob, utc_s=clock.utc_s)

        listening = asyncio.create_task(listen())
        conversation = calling(alice, left, BOB, service=texts.SERVICE, terms=terms)
        words = [Text(f"{number:032x}", "hello", float(number)) for number in range(3)]
        failed = await deliver_texts([conversation], words, delivered=delivered)
        assert isinstance(failed[BOB], Replayed)
        assert len(told) == which + 1
        await left.close()
        await asyncio.gather(listening, return_exceptions=True)

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
