"""Files between two users over real sockets: whole, once, going on after breaks, and refused where they must be."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.incoming import HIDDEN, IncomingFolder
from qanat.adapters.outgoing import OutgoingFile
from qanat.ground.errors import BadParameter, ChannelError, ConfigurationError, KeyShortage, UnknownNode
from qanat.services.ciphers import Altered, KeyUnknown, NotForUs, PadShortage, Refresh, Suite
from qanat.services.conversation import RefusedByPeer, Terms
from service_support import House, sae_of
from unit.service_fakes import FakeSupply
from unit.test_service_ciphers import StockedSupply

CANARY = b"the canary sings in plain letters"
OFFER = "0123456789abcdef" * 2


def run(work: Coroutine[Any, Any, None]) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(30):
            await work

    asyncio.run(in_time())


def made_file(folder: Path, *, num_bytes: int = 3_000_000, name: str = "film.bin") -> Path:
    path = folder / name
    path.write_bytes((CANARY + hashlib.shake_128(b"film").digest(10_000))[:10_000] * (num_bytes // 10_000 + 1))
    os.truncate(path, num_bytes)
    return path


@pytest.mark.parametrize("num_bytes", [0, 1, 2**20, 3_000_000])
def test_a_file_arrives_whole_under_its_name_and_a_spy_sees_nothing_of_it(tmp_path: Path, num_bytes: int) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=num_bytes)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            (sent,) = await alice.send(path, "bob")
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()
        assert house.came("bob") == ["film.bin"]
        assert sent.sha256 == hashlib.sha256(path.read_bytes()).hexdigest() == house.files["bob"][0].sha256
        assert (sent.sent_bytes, sent.num_keys) == (path.stat().st_size, 1)
        assert len(spy.seen) > num_bytes
        assert CANARY not in spy.seen
        assert b"film.bin" not in spy.seen, "not even its name"
        assert not any(key in spy.seen for key in house.stock.given)

    run(work())


def test_a_cut_line_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=8_000_000)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.cut_at = 5_000_000
            (sent,) = await alice.send(path, "bob")
        assert spy.num_lines == 2
        assert 8_000_000 <= sent.sent_bytes <= 8_000_000 + 5_000_000 - 2**20, "the second line carries the rest alone"
        assert sent.num_keys == 2, "each line has a key of its own"
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()
        assert house.came("bob") == ["film.bin"]

    run(work())


def test_both_sides_may_be_killed_in_between(tmp_path: Path) -> None:
    """Neither side keeps anything but its files: a new sender and a new recipient go on."""

    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=8_000_000)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.cut_at = 5_000_000
            with pytest.raises(ChannelError):
                await alice.send(path, "bob", patience_s=-1)
            assert house.came("bob") == [], "no part under the file's name"
            told = await house.fault("bob")
            assert told.message.startswith("a call of alice from 127.0.0.1: "), "whose line broke"
        async with house.reception("bob"), house.user("alice") as alice:
            (sent,) = await alice.send(path, "bob")
        assert 0 < sent.sent_bytes <= 8_000_000 - 2**20
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()

    run(work())


def test_a_part_that_was_altered_on_the_disk_is_sent_anew(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=5_000_000)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.cut_at = 3_000_000
            with pytest.raises(ChannelError):
                await alice.send(path, "bob", patience_s=-1)
        (part,) = (house.folder("bob") / HIDDEN).glob("*.part")
        damaged = bytearray(part.read_bytes())
        damaged[17] ^= 1
        part.write_bytes(damaged)
        async with house.reception("bob"), house.user("alice") as alice:
            (sent,) = await alice.send(path, "bob")
        assert sent.sent_bytes == 5_000_000
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()

    run(work())


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_at_once_with_what_to_do(tmp_path: Path, kind: str) -> None:
    path = Path("/dev/zero") if kind == "device" else tmp_path / "pipe"
    if kind == "pipe":
        os.mkfifo(path)

    async def work() -> None:
        async with House(tmp_path / "data").user("alice") as alice:
            for send in (alice.send, alice.fax):
                with pytest.raises(BadParameter, match="is a pipe or a device, and no file") as refusal:
                    await send(path, "bob")
                assert "into a file" in refusal.value.remedy

    run(work())


def test_a_receipt_that_was_lost_makes_no_second_file(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path)
        async with house.reception("bob"), house.user("alice") as alice:
            await alice.send(path, "bob")
            notes = tmp_path / "data" / "users" / "alice" / "sending" / "aes-128-gcm"
            assert list(notes.iterdir()) == []
            (note,) = (house.folder("bob") / HIDDEN).glob("*.json")
            with OutgoingFile(path, name="film.bin", recipient=sae_of("bob"), notes=notes) as lost:
                (mine,) = notes.iterdir()
                mine.write_text(json.dumps({"offer": note.stem}), encoding="utf-8")
                assert lost.offer != note.stem
            (sent,) = await alice.send(path, "bob")
            assert (sent.sent_bytes, sent.name) == (0, "film.bin")
            assert house.came("bob") == ["film.bin"]
            (again,) = await alice.send(path, "bob")  # the user wants it twice
            assert (again.name, again.sent_bytes) == ("film (2).bin", path.stat().st_size)
        assert house.came("bob") == ["film (2).bin", "film.bin"]

    run(work())


@pytest.mark.parametrize("step", ["noted", "linked"])
def test_a_recipient_killed_while_it_names_a_file_ends_that_once(tmp_path: Path, step: str) -> None:
    """The process ends between the note, the link, and the note that the file is here."""

    async def work() -> None:
        folder = IncomingFolder(tmp_path)
        offer = {"sender": sae_of("alice"), "name": "a.txt", "size_bytes": 5}
        arriving = await folder.expect(offer=OFFER, **offer)  # type: ignore[arg-type]
        assert not isinstance(arriving, str)
        await arriving.write(b"hello")
        await arriving.close()
        note = tmp_path / HIDDEN / f"{OFFER}.json"
        note.write_text(json.dumps(offer | {"state": "naming", "as": "a.txt"}), encoding="utf-8")
        if step == "linked":
            os.link(tmp_path / HIDDEN / f"{OFFER}.part", tmp_path / "a.txt")
        for _ in range(2):
            assert await IncomingFolder(tmp_path).expect(offer=OFFER, **offer) == "a.txt"  # type: ignore[arg-type]

    run(work())
    assert [path.name for path in tmp_path.iterdir() if path.name != HIDDEN] == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"hello"


def test_a_flipped_bit_is_refused_at_both_ends_with_its_reason(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.flip_at = 1_500_000
            with pytest.raises(RefusedByPeer, match="altered on the way"):
                await alice.send(path, "bob")
            assert isinstance(await house.fault("bob"), Altered)
            assert house.came("bob") == []
            await alice.send(path, "bob")
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()

    run(work())


def test_a_call_that_reaches_somebody_else_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path)
        async with house.reception("eve") as eve, house.user("alice") as alice:
            book = alice.people.addresses
            assert book is not None
            book.publish("services", "bob", ("127.0.0.1", eve.port))  # eve sits where bob is said to be
            with pytest.raises(RefusedByPeer) as refusal:
                await alice.send(path, "bob")
            assert (
                refusal.value.message == f"{sae_of('eve')} answers at the address of {sae_of('bob')}, and took nothing"
            )
            assert refusal.value.remedy.startswith(f"correct the address of {sae_of('bob')}")
            assert isinstance(await house.fault("eve"), NotForUs)
        assert house.came("eve") == []

    run(work())


def test_a_transfer_that_is_played_again_gets_no_key(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=10_000)
        async with house.reception("bob") as bob, house.user("alice") as alice:
            async with house.spied("bob") as spy:
                await alice.send(path, "bob")
            reader, writer = await asyncio.open_connection("127.0.0.1", bob.port)
            writer.write(bytes(spy.seen))  # both directions mixed; the caller's hello and first record come first
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            assert b"played again" in answer
            assert isinstance(await house.fault("bob"), KeyUnknown)
        assert house.came("bob") == ["film.bin"]

    run(work())


def test_keys_are_refreshed_within_a_file(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=5_000_000)
        terms = replace(house.terms, refresh=Refresh(every_bytes=2**20), suite=Suite.AES_256_GCM)
        async with house.reception("bob"), house.user("alice", terms=terms) as alice:
            (sent,) = await alice.send(path, "bob")
        assert sent.num_keys == 5
        assert {len(key) for key in house.stock.given} == {32}
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()

    run(work())


def test_a_group_gets_a_file_each(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data", groups={"board": ("bob", "carol")}), made_file(tmp_path)
        async with house.reception("bob"), house.reception("carol"), house.user("alice") as alice:
            assert [sent.recipient for sent in await alice.send(path, "board")] == ["bob", "carol"]
        for name in ("bob", "carol"):
            assert (house.folder(name) / "film.bin").read_bytes() == path.read_bytes()

    run(work())


def test_a_pad_is_refused_with_both_figures_and_accepted_when_the_pool_has_filled(tmp_path: Path) -> None:
    """5 records of 32 KiB or less hold 150,000 bytes; with 3 words of 512 that is 151,536 bytes and 8 tags' keys."""

    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=150_000)
        supply = StockedSupply(house.stock, sae_of("alice"), stocked_bits=256_000)
        house.supplies = {
            "alice": supply,
            "bob": StockedSupply(house.stock, sae_of("bob"), stocked_bits=2**16),
        }
        terms = Terms(suite=Suite.ONE_TIME_PAD, silence_s=5)
        async with house.reception("bob"), house.user("alice", terms=terms) as alice:
            with pytest.raises(PadShortage) as short:
                await alice.send(path, "bob")
            assert (short.value.needed_bits, short.value.stocked_bits) == (8 * 151_536 + 8 * 256, 256_000)
            assert house.stock.given == [], "nothing was taken, and nothing was sent by AES instead"
            supply.stocked_bits = 2**21
            await alice.send(path, "bob")
        assert (house.folder("bob") / "film.bin").read_bytes() == path.read_bytes()
        assert 8 * sum(map(len, house.stock.given)) >= short.value.needed_bits

    run(work())


def test_without_keys_nothing_is_sent(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path)
        house.supplies["alice"] = FakeSupply(house.stock, sae_of("alice"), shortages=100)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            with pytest.raises(KeyShortage):
                await alice.send(path, "bob")
            assert CANARY not in spy.seen
        assert house.came("bob") == []

    run(work())


def test_what_cannot_be_sent_is_said_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.user("alice") as alice:
            with pytest.raises(UnknownNode, match="no contact or group 'dave'"):
                await alice.send(tmp_path / "x", "dave")
            with pytest.raises(BadParameter, match="itself"):
                await alice.send(tmp_path / "x", "alice")
            with pytest.raises(ConfigurationError, match="cannot read"):
                await alice.send(tmp_path / "x", "bob")
            with pytest.raises(ChannelError, match="nobody says where bob receives"):
                await alice.send(made_file(tmp_path), "bob", patience_s=-1)

    run(work())


def test_a_file_that_changes_while_it_is_sent_does_not_count(tmp_path: Path) -> None:
    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path)
        async with house.reception("bob"), house.user("alice") as alice:

            def change(_: object) -> None:
                path.write_bytes(b"another" * 100)

            with pytest.raises(BadParameter, match="was changed while it was sent"):
                await alice.send(path, "bob", on_progress=change)
        assert house.came("bob") == []

    run(work())
