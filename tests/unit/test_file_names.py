"""Names of files on their way: any file of this machine can be sent, and none leads out of the recipient's folder."""

from __future__ import annotations

import asyncio

import pytest

from qanat.ground.errors import BadParameter, FrameError
from qanat.services.conversation import RefusedByPeer
from qanat.services.file_delivery import ArrivedFile, SentWhole
from qanat.services.file_names import file_name_for_all, is_file_name
from unit.service_fakes import Content, Ends

ELSEWHERE = ["", ".", "..", "a/b", "..\\b", "a\nb", "a\0", "x" * 256, "c:d"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("letter.txt", "letter.txt"),
        ("Größe 3.pdf", "Größe 3.pdf"),
        ('a "b".txt', "a _b_.txt"),
        ("<a>|b?*c:d\\e", "_a__b__c_d_e"),
        ("a\nb\x1b[0m\x7f", "a_b_[0m_"),
        (b"a\xff\xfe".decode("utf-8", "surrogateescape"), "a__"),
        ("ü" * 127, "ü" * 127),
    ],
)
def test_any_file_of_this_machine_has_a_name_that_every_recipient_takes(name: str, told: str) -> None:
    assert file_name_for_all(name) == told
    ends = Ends()
    sent, received = asyncio.run(ends.transfer(Content(b"x", name=told)))
    assert isinstance(sent, SentWhole)
    assert isinstance(received, ArrivedFile)
    assert received.name == sent.name == ends.kept.name == told


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_name_that_leads_elsewhere_does_not_leave_the_sender(name: str) -> None:
    ends = Ends()
    with pytest.raises(BadParameter, match="is no file name") as refusal:
        asyncio.run(ends.send(Content(b"", name=name)))
    assert refusal.value.remedy
    assert ends.stock.given == []


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_sender_that_offers_such_a_name_all_the_same_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Twofold(str):
        """A name that passes at its sender."""

    monkeypatch.setattr(
        "qanat.services.file_delivery.is_file_name", lambda told: type(told) is Twofold or is_file_name(told)
    )
    ends = Ends()
    sent, received = asyncio.run(ends.transfer(Content(b"x", name=Twofold(name))))
    assert isinstance(received, FrameError)
    assert isinstance(sent, RefusedByPeer)
    assert not ends.kept.data
