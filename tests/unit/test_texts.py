"""Texts between users over real sockets: once each, also to who comes later, to groups, and a thousand at a time."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.adapters import mailbox as mailbox_of_texts
from qanat.adapters.buffer_line import dial
from qanat.adapters.durable_files import write_new_durably
from qanat.adapters.mailbox import Mailbox, OutgoingText, StoredText
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.apps.cli.services import _told
from qanat.ground.errors import BadParameter, FrameError, KeyManagementError, KeyShortage
from qanat.ground.identifiers import SaeId, members_of, slaves_together
from qanat.ground.keys import SecretBytes, SecretKey
from qanat.services import texts
from qanat.services.ciphers import Altered, KeyUnknown, NotForUs, PadShortage, Suite
from qanat.services.ciphers.refresh import GROUP_KEY_BITS
from qanat.services.conversation import Party, RefusedByPeer, Terms, calling
from qanat.services.group_texts import SealedForGroup, open_from_group, seal_for_group
from qanat.services.texts import Text, deliver_texts
from qanat.users.reception import Reception
from service_support import House, sae_of, until
from unit.service_fakes import FakeSupply, KeyStock
from unit.test_file_delivery import run
from unit.test_service_ciphers import StockedSupply

CANARY = "the canary sings in plain letters"


def bodies(house: House, name: str) -> list[str]:
    return [text.body for text in house.texts[name]]


def test_a_text_is_delivered_once_and_a_spy_cannot_read_it(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            before = time.time()
            report = await alice.text("bob", CANARY)
            assert before <= report.delivered["bob"] <= time.time()
            assert report.waiting == ()
            assert alice.report(report.text_id) == report
            assert await alice.deliver_waiting() == 0
        assert bodies(house, "bob") == [CANARY]
        assert house.texts["bob"][0].sender == sae_of("alice")
        assert len(spy.seen) > len(CANARY)
        assert CANARY.encode() not in spy.seen

    run(work())


def test_a_text_waits_for_its_recipient_and_survives_the_senders_end(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.user("alice") as alice:
            report = await alice.text("bob", "first", patience_s=0)
            assert (report.delivered, report.waiting) == ({}, ("bob",))
            await alice.text("bob", "second", patience_s=0)
        async with house.reception("bob"), house.reception("alice"):  # alice's own reception empties her outbox
            await until(lambda: len(house.texts["bob"]) == 2)
        assert bodies(house, "bob") == ["first", "second"]
        async with house.user("alice") as alice:
            assert list(alice.report(report.text_id).delivered) == ["bob"]

    run(work())


def test_a_confirmation_that_was_lost_makes_no_second_text(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.user("alice") as alice:
            report = await alice.text("bob", "once")
            waiting = OutgoingText(report.text_id, "once", 1.0, (sae_of("bob"),))
            alice.mailbox.post(waiting)  # as it was before the confirmation came
            assert await alice.deliver_waiting() == 0
            await alice.text("bob", "once")  # the same words, another text
        assert bodies(house, "bob") == ["once", "once"]
        assert len(list((tmp_path / "data" / "users" / "bob" / "shown").iterdir())) == 2

    run(work())


def test_a_copy_that_came_while_the_first_was_being_shown_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox = Mailbox(tmp_path)
    text = StoredText("ab" * 16, sae_of("alice"), "once", 1.0, 2.0)
    told: list[StoredText] = []

    def show() -> None:
        for fresh in mailbox.fresh():
            told.append(fresh)
            mailbox.shown(fresh)

    def shown_in_between(path: Path, words: str) -> bool:
        show()  # the first copy, after `keep` of the second has looked for it among those shown
        return write_new_durably(path, words)

    async def work() -> None:
        assert await mailbox.keep(text)
        monkeypatch.setattr(mailbox_of_texts, "write_new_durably", shown_in_between)
        await mailbox.keep(text)
        show()
        assert not await mailbox.keep(text)

    run(work())
    assert told == [text]
    assert list((tmp_path / "inbox").iterdir()) == []
    assert len(list((tmp_path / "shown").iterdir())) == 1


def test_texts_that_were_not_shown_are_shown_at_the_next_start_and_once(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with Reception(house.user("bob"), house.folder("bob")) as silent, house.user("alice") as alice:
            assert silent.port
            await alice.text("bob", "hello")
        mailbox = Mailbox(tmp_path / "data" / "users" / "bob")
        assert mailbox.fresh() == []
        (shown,) = (mailbox.home / "shown").iterdir()
        shown.rename(mailbox.home / "inbox" / shown.name)  # as if it had ended before it told
        async with house.reception("bob") as reception:
            reception.show_fresh()
            reception.show_fresh()
        assert bodies(house, "bob") == ["hello"]

    run(work())


def test_a_group_hears_a_text_each_and_who_is_away_hears_later(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data", groups={"board": ("bob", "carol", "eve")})
        supply = GroupSupply(house.stock, sae_of("alice"))
        house.supplies = {"alice": supply} | {name: GroupSupply(house.stock, sae_of(name)) for name in ("bob", "carol")}
        async with house.reception("bob"), house.reception("carol"), house.user("alice") as alice:
            report = await alice.text("board", "to all", patience_s=0)
            assert sorted(report.delivered) == ["bob", "carol"]
            assert report.waiting == ("eve",)
            together = slaves_together(map(sae_of, ("bob", "carol", "eve")))
            assert supply.groups == [together], "it is sealed once, under one key"
        assert bodies(house, "bob") == bodies(house, "carol") == ["to all"]
        house.supplies["eve"] = GroupSupply(house.stock, sae_of("eve"))
        async with house.reception("bob"), house.reception("eve"), house.user("alice") as alice:
            assert await alice.deliver_waiting() == 0
        assert supply.groups == [together], "who comes later gets what was sealed for all"
        assert bodies(house, "eve") == ["to all"]
        assert bodies(house, "bob") == ["to all"]

    run(work())


def test_who_hears_a_text_of_a_group_is_told_who_else_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def work() -> None:
        house = House(tmp_path / "data", groups={"board": ("bob", "carol")})
        async with house.reception("bob"), house.reception("carol"), house.user("alice") as alice:
            await alice.text("board", "to both")
            await alice.text("bob", "to you")
        group = (sae_of("bob"), sae_of("carol"))
        assert [text.group for text in house.texts["bob"]] == [group, ()]
        people = house.user("bob").people
        for as_json in (False, True):
            for text in house.texts["bob"]:
                _told(people, as_json, None).on_text(text)

    run(work())
    plain_group, plain, json_group, json_plain = capsys.readouterr().out.splitlines()
    assert plain_group.endswith(" alice (to bob, carol): to both")
    assert plain.endswith(" alice: to you")
    assert [json.loads(line)["text"]["group"] for line in (json_group, json_plain)] == [["bob", "carol"], []]


def test_a_text_of_a_group_is_one_also_where_it_is_told_under_a_key_of_the_two(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data", groups={"board": ("bob", "carol")})
        async with house.reception("bob"), house.user("alice") as alice:
            await alice.text("board", "to both", patience_s=0)
            house.stock.waiting.clear()  # carol's key manager has the key of all no more
            async with house.reception("carol"):
                assert await alice.deliver_waiting() == 0
                await alice.text("carol", "to you")
        assert [text.group for text in house.texts["carol"]] == [(sae_of("bob"), sae_of("carol")), ()]

    run(work())


def test_a_text_of_a_group_that_was_kept_before_groups_were_is_shown(tmp_path: Path) -> None:
    mailbox, text = Mailbox(tmp_path), StoredText("ab" * 16, sae_of("alice"), "hello", 1.0, 2.0, (sae_of("bob"),))
    run(mailbox.keep(text))
    assert mailbox.fresh() == [text]
    (path,) = (tmp_path / "inbox").glob("*.json")
    told = json.loads(path.read_text(encoding="utf-8"))
    del told["group"]
    path.write_text(json.dumps(told), encoding="utf-8")
    assert mailbox.fresh() == [replace(text, group=())]


def test_a_member_of_a_group_cannot_say_anything_to_another_in_the_senders_name(tmp_path: Path) -> None:
    """Bob is told first. With each key that he gets of alice's he calls carol at once, as if he were alice.

    Carol has not fetched the key of all yet, so her key manager gives it to her as alice's: its size gives bob away.
    """

    async def work() -> None:
        house = House(tmp_path / "data", groups={"board": ("bob", "carol")})
        house.supplies = {name: GroupSupply(house.stock, sae_of(name)) for name in ("alice", "carol")}
        async with house.reception("carol") as carol:
            bob = house.supplies["bob"] = Forger(house.stock, sae_of("bob"), port=carol.port)
            async with house.reception("bob"), house.user("alice") as alice:
                await alice.text("board", "to all")
            await until(lambda: len(house.faults["carol"]) == 3)
            for fault in house.faults["carol"]:
                assert isinstance(fault, KeyUnknown | NotForUs | KeyManagementError), fault
            sizes = [str(fault) for fault in house.faults["carol"] if isinstance(fault, KeyManagementError)]
            assert len(sizes) == 1
            assert "has 192 bits, and 128 are needed" in sizes[0]
            await asyncio.gather(*bob.forging)
        assert len(bob.forging) == 3, "under alice's key for him alone, and under that of all"
        assert bodies(house, "carol") == ["to all"]

    run(work())


def test_who_cannot_have_the_key_of_all_is_told_under_one_of_its_own(tmp_path: Path) -> None:
    """It is delivered again after the confirmation was lost, and the key of all was fetched before."""

    async def work() -> None:
        house = House(tmp_path / "data", groups={"board": ("bob", "carol")})
        supply = house.supplies["alice"] = GroupSupply(house.stock, sae_of("alice"))
        async with house.reception("bob"), house.user("alice") as alice:
            report = await alice.text("board", "to all", patience_s=0)
            (waiting,) = alice.mailbox.waiting()
            assert waiting.waiting == (sae_of("carol"),)
            alice.mailbox.post(replace(waiting, waiting=waiting.group, confirmed=()))
            async with house.reception("carol"):
                assert await alice.deliver_waiting() == 0
            assert sorted(alice.report(report.text_id).delivered) == ["bob", "carol"]
        assert len(supply.groups) == 1
        assert bodies(house, "bob") == bodies(house, "carol") == ["to all"]

    run(work())


def test_where_no_key_of_all_can_be_had_each_is_told_under_one_of_its_own(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data", groups={"board": ("bob", "carol")}, terms=Terms(patience_s=0.1))
        house.supplies["alice"] = OnlyPairs(house.stock, sae_of("alice"))
        async with house.reception("bob"), house.reception("carol"), house.user("alice") as alice:
            assert (await alice.text("board", "to all")).waiting == ()
        assert bodies(house, "bob") == bodies(house, "carol") == ["to all"]

    run(work())


def test_a_record_for_a_group_opens_for_its_members_once_and_says_what_is_wrong_otherwise() -> None:
    async def work() -> None:
        stock, clock = KeyStock(), SystemClock()
        alice, bob, carol, eve = (
            Party(sae_of(name), FakeSupply(stock, sae_of(name)), clock, SystemEntropy())
            for name in ("alice", "bob", "carol", "eve")
        )
        text, members = Text("d" * 32, CANARY, 1.0), (bob.sae, carol.sae)
        sealed = await seal_for_group(alice, members, text.word(), text_id=text.text_id, terms=Terms())
        assert CANARY.encode() not in sealed.record
        assert SealedForGroup.parse(sealed.word(text.text_id)) == sealed
        opened = await open_from_group(bob, sealed, sender=alice.sae, text_id=text.text_id)
        assert opened == text.word()
        for party, one, sender, text_id, fault in (
            (bob, sealed, alice.sae, text.text_id, KeyUnknown),  # it comes again
            (eve, sealed, alice.sae, text.text_id, NotForUs),
            (carol, sealed, alice.sae, "e" * 32, NotForUs),  # said to be another text
            (carol, replace(sealed, recipients=(carol.sae, eve.sae)), alice.sae, text.text_id, NotForUs),
            (carol, sealed, bob.sae, text.text_id, NotForUs),  # bob says that it is his
            (carol, replace(sealed, record=sealed.record[:-1] + b"?"), alice.sae, text.text_id, Altered),
            (carol, sealed, alice.sae, text.text_id, KeyUnknown),  # the key was given for the altered one
        ):
            with pytest.raises(fault):
                await open_from_group(party, one, sender=sender, text_id=text_id)

    run(work())


@pytest.mark.parametrize("change", [{"group": ["a"]}, {"group": [1, 2]}, {"record": "?"}, {"suite": "one-time-pad"}])
def test_a_word_that_is_no_text_to_a_group_is_refused(change: dict[str, object]) -> None:
    word = SealedForGroup((sae_of("bob"), sae_of("carol")), Suite.AES_128_GCM, b"record").word("a" * 32)
    with pytest.raises(FrameError):
        SealedForGroup.parse(word | change)


class OnlyPairs(FakeSupply):
    """A supply whose key manager cannot reach all members of a group at once."""

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int):  # type: ignore[no-untyped-def]
        if len(members_of(peer)) > 1:
            raise KeyShortage("one of them is away", retry_after_s=1.0)
        return await super().get_keys(peer, count=count, size_bits=size_bits)


class Keyring:
    """A supply that gives the one key that it was made with, again and again."""

    def __init__(self, key: SecretKey) -> None:
        self.key = key

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> list[SecretKey]:
        return [replace(self.key, secret=SecretBytes(self.key.secret.reveal()[: size_bits // 8]))]


def test_what_falls_short_for_one_recipient_keeps_nothing_from_another(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        supply = StockedSupply(house.stock, sae_of("alice"), stocked_bits=0)
        house.supplies = {"alice": supply, "bob": StockedSupply(house.stock, sae_of("bob"), stocked_bits=2**16)}
        async with house.user("alice", terms=Terms(suite=Suite.ONE_TIME_PAD)) as alice:
            await alice.text("bob", "by pad", patience_s=0)
        async with house.reception("bob"), house.reception("carol"), house.user("alice") as alice:
            alice.mailbox.post(OutgoingText("c" * 32, "by AES", 2.0, (sae_of("carol"),)))
            supply.stocked_bits = 512  # enough for keys of AES, and for no pad
            with pytest.raises(PadShortage):
                await alice.deliver_waiting()
            assert bodies(house, "carol") == ["by AES"]
            report = await alice.text("carol", "and another")
            assert list(report.delivered) == ["carol"], "what waits for bob is no fault of this text"

    run(work())


def test_pad_goes_to_the_oldest_text_first_and_the_conversation_ends_well(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        supply = StockedSupply(house.stock, sae_of("alice"), stocked_bits=0)
        house.supplies = {"alice": supply, "bob": StockedSupply(house.stock, sae_of("bob"), stocked_bits=2**16)}
        async with house.user("alice", terms=Terms(suite=Suite.ONE_TIME_PAD)) as alice:
            await alice.text("bob", "short", patience_s=0)
            await alice.text("bob", "long" * 1000, patience_s=0)
            async with house.reception("bob"):
                supply.stocked_bits = 4096
                with pytest.raises(PadShortage):
                    await alice.deliver_waiting()
                await until(lambda: bool(house.texts["bob"]))
        assert bodies(house, "bob") == ["short"]
        assert house.faults["bob"] == []

    run(work())


class GroupSupply(StockedSupply):
    """A supply with much in stock, that notes for which groups keys were asked."""

    def __init__(self, stock: KeyStock, sae: SaeId) -> None:
        super().__init__(stock, sae, stocked_bits=2**30)

    @property
    def groups(self) -> list[SaeId]:
        return [peer for peer in self.asked if len(members_of(peer)) > 1]


class Forger(GroupSupply):
    """Bob's supply: whenever he gets a key of alice's, he says something to carol under it, in her name.

    He takes time for what he says under the key of all, so that carol hears it before she is told by alice.
    """

    def __init__(self, stock: KeyStock, sae: SaeId, *, port: int) -> None:
        super().__init__(stock, sae)
        self.port = port
        self.forging: list[asyncio.Task[None]] = []

    async def get_keys_by_id(self, peer: SaeId, key_ids, /):  # type: ignore[no-untyped-def]
        (key,) = keys = await super().get_keys_by_id(peer, key_ids)
        is_of_all = key.size_bits in GROUP_KEY_BITS
        both = slaves_together((sae_of("bob"), sae_of("carol")))
        for recipient in (sae_of("carol"), both) if is_of_all else (sae_of("carol"),):
            stolen = replace(key, secret=SecretBytes(key.secret.reveal()))
            self.forging.append(asyncio.create_task(self.forge(stolen, recipient)))
        if is_of_all:
            await asyncio.gather(*self.forging)
        return keys

    async def forge(self, key: SecretKey, recipient: SaeId) -> None:
        party = Party(sae_of("alice"), Keyring(key), SystemClock(), SystemEntropy())  # type: ignore[arg-type]
        line = await dial("127.0.0.1", self.port)
        forged = calling(party, line, recipient, service=texts.SERVICE, terms=Terms())
        await deliver_texts([forged], [Text("f" * 32, "forged", 1.0)], delivered=nothing)
        await line.close()


async def nothing(*_: object) -> None:
    """Note nothing."""


def test_an_altered_text_is_refused_and_delivered_when_the_line_is_honest(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.user("alice") as alice, house.spied("bob") as spy:
            spy.flip_at = 330
            report = await alice.text("bob", "x" * 500)
            assert (report.delivered, report.waiting) == ({}, ("bob",))
            assert isinstance(report.fault, RefusedByPeer)
            assert "altered on the way" in report.fault.message
            assert isinstance(await house.fault("bob"), Altered)
            assert await alice.deliver_waiting() == 0
        assert bodies(house, "bob") == ["x" * 500]

    run(work())


def test_a_text_by_pad_waits_until_there_is_one(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        supply = StockedSupply(house.stock, sae_of("alice"), stocked_bits=256)
        house.supplies = {"alice": supply, "bob": StockedSupply(house.stock, sae_of("bob"), stocked_bits=2**16)}
        async with house.reception("bob"), house.user("alice", terms=Terms(suite=Suite.ONE_TIME_PAD)) as alice:
            report = await alice.text("bob", "for your eyes alone")
            assert (report.delivered, report.waiting) == ({}, ("bob",))
            assert isinstance(report.fault, PadShortage)
            assert "bits is needed, and 256 bits are in stock" in report.fault.message
            given = len(house.stock.given)
            async with house.user("alice") as by_aes:  # another command of hers, or her reception
                with pytest.raises(PadShortage):
                    await by_aes.deliver_waiting()
            assert len(house.stock.given) == given, "not sent by AES instead"
            supply.stocked_bits = 2**16
            assert await alice.deliver_waiting() == 0
        assert bodies(house, "bob") == ["for your eyes alone"]

    run(work())


def test_too_long_and_empty_texts_are_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with House(tmp_path / "data").user("alice") as alice:
            with pytest.raises(BadParameter, match="at most 16,384 go"):
                await alice.text("bob", "é" * 8193)
            for blank in ("", "   ", "\n\t "):
                with pytest.raises(BadParameter, match="without a word"):
                    await alice.text("bob", blank)

    run(work())


async def talk_at_once(house: House, *, sessions: int) -> None:
    """Open so many conversations with bob, all open at the same time, and say two texts in each."""
    come: list[int] = []
    all_open = asyncio.Event()

    async with house.reception("bob") as bob, house.user("alice") as alice:

        async def session(number: int) -> None:
            line = await dial("127.0.0.1", bob.port, timeout_s=30)
            conversation = calling(alice.party, line, sae_of("bob"), service=texts.SERVICE, terms=alice.terms)
            told = [Text(f"{number:031x}{part}", f"{number}/{part}", float(part)) for part in range(2)]

            async def delivered(*_: object) -> None:
                if len(come) < sessions:
                    come.append(number)
                    if len(come) == sessions:
                        all_open.set()
                    await all_open.wait()

            assert await deliver_texts([conversation], told, delivered=delivered) == {}
            await line.close()

        async with asyncio.timeout(25):
            await asyncio.gather(*map(session, range(sessions)))
    assert sorted(bodies(house, "bob")) == sorted(f"{number}/{part}" for number in range(sessions) for part in range(2))
    assert house.faults["bob"] == []


@pytest.mark.parametrize("sessions", [50, pytest.param(1000, marks=pytest.mark.campaign)])
def test_many_conversations_are_open_at_once(tmp_path: Path, sessions: int) -> None:
    house = House(tmp_path / "data", terms=Terms(patience_s=2, silence_s=25))
    run(talk_at_once(house, sessions=sessions))
