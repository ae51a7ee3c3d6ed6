"""``qanat distil`` from outside: two processes, a line that is cut, recorded, crosses network namespaces; refusals.

Keys are compared as files, ledgers against recordings of the TCP stream, counted by a reader that knows the formats and
nothing of Qanat.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distil_support import CuttingProxy, leaks_of, recordings_in
from qanat.adapters.resuming_channel import dial_line
from qanat.ground.errors import ChannelClosed
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.lanes import encode_lane

QANAT = (sys.executable, "-m", "qanat.apps.cli.main", "distil")
BLOCK_BITS, FRAME_BITS = 2**14, 2**12
SMALL = ("--min-entropy", "0.8", "--block-bits", str(BLOCK_BITS))
pytestmark = pytest.mark.slow


def make_example(folder: Path, *options: str) -> None:
    subprocess.run([*QANAT, "make-example", str(folder), *options], check=True, timeout=120, capture_output=True)


def files_of(folder: Path, name: str, *, kind: str = "sifted") -> tuple[str, ...]:
    own = folder / name
    return (f"--{kind}", f"{own}/{kind}.npz", "--key", f"{own}/link.auth", "--out", f"{own}/keys")


@dataclass
class Ended:
    """How a party's process ended."""

    status: int
    said: dict[str, Any]
    log: str


@dataclass
class Running:
    """A party's process."""

    process: asyncio.subprocess.Process
    log: list[str] = field(default_factory=list)

    async def read_until(self, pattern: str) -> re.Match[str]:
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while line := (await self.process.stderr.readline()).decode():
                self.log.append(line)
                if found := re.search(pattern, line):
                    return found
        raise AssertionError("".join(self.log))

    async def end(self, timeout_s: float = 120) -> Ended:
        async with asyncio.timeout(timeout_s):
            out, err = await self.process.communicate()
        status = self.process.returncode
        assert status is not None
        return Ended(status, json.loads(out) if out else {}, "".join(self.log) + err.decode())


async def start(*arguments: str, before: tuple[str, ...] = ()) -> Running:
    pipe = asyncio.subprocess.PIPE
    return Running(
        await asyncio.create_subprocess_exec(*before, *QANAT, *arguments, "--json", stdout=pipe, stderr=pipe)
    )


async def start_alice(folder: Path, *options: str, kind: str = "sifted", port: int = 0) -> tuple[Running, int]:
    alice = await start("alice", "--listen", f"127.0.0.1:{port}", *files_of(folder, "alice", kind=kind), *options)
    return alice, int((await alice.read_until(r"listening on 127\.0\.0\.1:(\d+)"))[1])


async def start_bob(folder: Path, port: int, *options: str, kind: str = "sifted") -> Running:
    return await start("bob", "--connect", f"127.0.0.1:{port}", *files_of(folder, "bob", kind=kind), *options)


async def distil_through(
    folder: Path, *options: str, cut_after: tuple[int, ...] = (), timeout_s: float = 120
) -> tuple[Ended, Ended, CuttingProxy]:
    """Let both parties distil through a proxy that records and cuts."""
    options = (*options, "--wait", "30")
    alice, port = await start_alice(folder, *options)
    async with CuttingProxy(port, cut_after=cut_after) as proxy:
        bob = await start_bob(folder, proxy.port, *options)
        return await alice.end(timeout_s), await bob.end(timeout_s), proxy


def keys_of(folder: Path, name: str) -> dict[str, bytes]:
    """Return a party's keys as the format page reads them; each file is its owner's alone."""
    keys = {}
    for path in sorted((folder / name / "keys").glob("*.npz")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with np.load(path) as file:
            assert str(file["format"]) == "qanat-key-1"
            assert file["secret"].size * 8 == int(file["num_bits"])
            keys[path.name] = file["secret"].tobytes()
    return keys


def headers_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return what a party's key files say of their keys, in the order of the record."""
    found = []
    for path in sorted((folder / name / "keys").glob("*.npz")):
        with np.load(path) as file:
            found.append(json.loads(str(file["header"])))
    return found


def assert_same_keys(folder: Path, *, blocks: int) -> None:
    alice, bob = keys_of(folder, "alice"), keys_of(folder, "bob")
    assert alice == bob
    assert len(alice) == blocks
    assert len(set(alice.values())) == blocks
    assert not any("unsure" in name for name in alice)


def assert_ledgers_fit(recordings: list[dict[str, bytearray]], *parties: Ended, frames: int, frame_bits: int) -> None:
    leaks = leaks_of(recordings, num_frames=frames, frame_bits=frame_bits)
    for party in parties:
        ledgers = [block["ledger"] for block in party.said["blocks"]]
        assert [ledger["leaked_bits"] for ledger in ledgers] == [
            {"cascade": leak.cascade, "verification": leak.verification} for leak in leaks
        ]
        assert [ledger["estimation_bits"] for ledger in ledgers] == [leak.estimation for leak in leaks]
        assert [ledger["tags_sent"] + ledger["tags_checked"] for ledger in ledgers] == [leak.tags for leak in leaks]
        assert [ledger["pad_bits_spent"] for ledger in ledgers] == [leak.pad_bits for leak in leaks]
        assert party.said["pad_bits_spent"] >= sum(leak.pad_bits for leak in leaks), "the account paid for all of it"
    pads = [json.dumps(block["ledger"]["pads"]) for block in parties[0].said["blocks"]]
    assert len(set(pads)) == len(pads)


def test_two_processes_make_the_same_keys_and_a_recording_reproduces_the_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "60000", "--qber", "0.02")
    alice, bob, proxy = asyncio.run(distil_through(folder, *SMALL))
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert_same_keys(folder, blocks=3)
    assert_ledgers_fit(proxy.recordings, alice, bob, frames=4, frame_bits=FRAME_BITS)
    assert all("stated, not proven" in block["proof"] for block in alice.said["blocks"])
    secret = b"".join(keys_of(folder, "alice").values())
    assert all(secret[at : at + 16] not in bytes(data) for data in proxy.recordings[0].values() for at in (0, 500))
    assert not list(folder.glob("*/link.auth")), "the initial key was taken in and destroyed"


@pytest.mark.campaign
def test_five_cuts_change_neither_key_nor_ledger(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "60000", "--qber", "0.02")
    cuts = (2_000, 20_000, 40_000, 60_000, 80_000)
    alice, bob, proxy = asyncio.run(distil_through(folder, *SMALL, cut_after=cuts))
    assert (alice.status, bob.status, proxy.num_cuts) == (0, 0, 5), alice.log + bob.log
    assert_same_keys(folder, blocks=3)
    assert_ledgers_fit(proxy.recordings, alice, bob, frames=4, frame_bits=FRAME_BITS)
    again = re.search(r"taken up again (\d) times", bob.log)  # a cut may come before both have greeted
    assert again is not None, bob.log
    assert 3 <= int(again[1]) <= 5


def test_raw_records_of_a_twin_become_proven_keys(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--loss-db", "8", "--seconds", "2")

    async def main() -> tuple[Ended, Ended]:
        options = ("--block-bits", "1000000", "--wait", "30")
        alice, port = await start_alice(folder, *options, kind="raw")
        bob = await start_bob(folder, port, *options, kind="raw")
        return await alice.end(), await bob.end()

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert_same_keys(folder, blocks=1)
    (block,) = alice.said["blocks"]
    assert block["proof"].startswith("composable")
    assert block["distilled_bits"] > 100_000


@pytest.mark.parametrize(
    ("victim", "in_flight"),
    [
        ("alice", 3),
        *(pytest.param(*more, marks=pytest.mark.campaign) for more in (("alice", 1), ("bob", 1), ("bob", 3))),
    ],
)
def test_a_killed_party_loses_its_blocks_in_flight_and_nothing_is_used_twice(
    tmp_path: Path, victim: str, in_flight: int
) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "90000", "--qber", "0.02")
    options = (*SMALL, "--wait", "30", "--replenish", "--in-flight", str(in_flight))

    async def main() -> list[Ended]:
        alice, port = await start_alice(folder, *options)
        async with CuttingProxy(port) as proxy:
            proxy.hold_after = 75_000  # about half of the second block, or of three
            bob = await start_bob(folder, proxy.port, *options)
            if in_flight == 1:
                await bob.read_until("block 1")
            await proxy.passed(proxy.hold_after)
            parties = {"alice": alice, "bob": bob}
            parties[victim].process.send_signal(signal.SIGKILL)
            await parties[victim].process.wait()
            proxy.release()
            if victim == "alice":
                parties["alice"], _ = await start_alice(folder, *options, port=port)
            else:
                parties["bob"] = await start_bob(folder, proxy.port, *options)
            return [await party.end() for party in parties.values()]

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    ours, theirs = keys_of(folder, "alice"), keys_of(folder, "bob")
    assert ours == theirs
    assert 1 <= len(ours) <= 4
    survivor = bob if victim == "alice" else alice
    assert len(survivor.said["dropped"]) >= 1
    headers = headers_of(folder, "alice")
    slices = [tuple(piece) for header in headers for piece in header["ledger"]["pads"]]
    assert len(set(slices)) == len(slices)
    headers.insert(0, {"first_slot": 0, "link_slots": 0})
    gaps = [after["first_slot"] - before["first_slot"] - before["link_slots"] for before, after in pairwise(headers)]
    assert min(gaps) >= 0, "a place of the record is in two keys"
    assert max(gaps) > 2**13, "the lost block's part of the record stays unused"


@pytest.mark.parametrize("victim", [pytest.param("alice", marks=pytest.mark.campaign), "bob"])
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.campaign)])
def test_who_is_asked_to_end_makes_the_blocks_in_flight_and_loses_no_pads(
    tmp_path: Path, victim: str, number: signal.Signals
) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "2400000", "--qber", "0.02")

    async def main() -> dict[str, Ended]:
        alice, port = await start_alice(folder, *SMALL, "--wait", "30")
        parties = {"alice": alice, "bob": await start_bob(folder, port, *SMALL, "--wait", "30")}
        await parties[victim].read_until("block 2:")
        parties[victim].process.send_signal(number)
        return {name: await party.end() for name, party in parties.items()}

    ended = asyncio.run(main())
    other = ended["bob" if victim == "alice" else "alice"]
    assert (ended[victim].status, other.status) == (130, 0), ended[victim].log + other.log
    assert re.search(r"ending after \d+ blocks? in flight; again: at once", ended[victim].log)
    assert ended[victim].said["fault"] == "stopped by its user"
    assert other.said["fault"] is None
    blocks = len(ended[victim].said["blocks"])
    assert 2 <= blocks < 120, "of the record's 129: on a busy machine dozens are in flight"
    assert_same_keys(folder, blocks=blocks)
    assert other.said["dropped"] == ended[victim].said["dropped"] == []
    for one in ended.values():
        assert 0 <= one.said["pad_bits_spent"] - blocks * 1520 <= 2 * 1520, "of blocks whose pads were asked for ahead"


@pytest.mark.parametrize(
    ("alice_options", "bob_options", "remedy", "pad_bits"),
    [
        ((), ("--block-bits", "32768"), "block_bits is", "0"),
        pytest.param((), ("--min-entropy", "0.7"), "min_entropy is", "0", marks=pytest.mark.campaign),
        pytest.param(
            ("--qber-abort", "0.02"),
            ("--qber-abort", "0.02"),
            "check the alignment",
            "1,520",
            marks=pytest.mark.campaign,
        ),
        pytest.param(
            ("--block-bits", "70000"), ("--block-bits", "70000"), "take smaller blocks", "0", marks=pytest.mark.campaign
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_both(
    tmp_path: Path, alice_options: tuple[str, ...], bob_options: tuple[str, ...], remedy: str, pad_bits: str
) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000", "--qber", "0.03")

    async def main() -> tuple[Ended, Ended]:
        alice, port = await start_alice(folder, *SMALL, *alice_options, "--wait", "60")
        bob = await start_bob(folder, port, *SMALL, *bob_options, "--wait", "60")
        return await alice.end(), await bob.end()

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (2, 2), alice.log + bob.log
    assert remedy in alice.log + bob.log
    spent = {re.search(r"([0-9,]+) pad bits were spent", one.log)[1] for one in (alice, bob)}
    assert spent == {pad_bits}, "pads are accounted for, alike at both ends"
    assert not keys_of(folder, "alice")
    assert not keys_of(folder, "bob")


def test_a_peer_with_another_key_is_refused_and_makes_nothing(tmp_path: Path) -> None:
    folder, stranger = tmp_path / "example", tmp_path / "stranger"
    for one in (folder, stranger):
        make_example(one, "--sifted-bits", "40000")

    async def main() -> tuple[Ended, Ended]:
        alice, port = await start_alice(folder, *SMALL, "--wait", "60")
        bob = await start_bob(stranger, port, *SMALL, "--wait", "60")
        return await alice.end(), await bob.end()

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (2, 2), alice.log + bob.log
    assert "error (key management)" in alice.log
    assert not keys_of(folder, "alice")


def test_strangers_at_the_port_cost_no_pads_and_stop_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")

    async def main() -> tuple[Ended, Ended]:
        alice, port = await start_alice(folder, *SMALL)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: alice\r\n\r\n")
        await writer.drain()
        stranger = await dial_line("127.0.0.1", port, patience_s=30)
        await stranger.send(encode_frame(0x79, {"first": 0}))
        with pytest.raises(ChannelClosed):
            await stranger.receive(timeout_s=30)
        await stranger.close()
        writer.close()
        bob = await start_bob(folder, port, *SMALL)
        return await alice.end(), await bob.end()

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert "does not speak as the other party would" in alice.log
    assert_same_keys(folder, blocks=2)
    assert alice.said["pad_bits_spent"] == bob.said["pad_bits_spent"] == 2 * 1520


async def call_as_bob(port: int, terms: object) -> Any:
    """Say TERMS on a new line; returns the line, on which Alice has answered, and what she was started with."""
    line = await dial_line("127.0.0.1", port, patience_s=30)
    await line.send(encode_frame(0x78, {"in_flight": 1, "terms": terms, "unsure": []}))
    said = decode_frame(await line.receive(timeout_s=30)).header["terms"]
    if terms == said:
        for _ in range(4):
            await line.send(encode_frame(0x7F, {}))
            await line.receive(timeout_s=30)
    return line, said


async def claim_the_end(port: int, terms: object) -> dict[str, Any]:
    """Begin a block at the last place of the record, with no key; returns what Alice said in PADS."""
    line, _ = await call_as_bob(port, terms)
    await line.send(encode_lane(1, encode_frame(0x79, {"first": 0})))
    pads = decode_frame(decode_frame(await line.receive(timeout_s=30)).body)
    assert pads.kind == 0x7A
    for proof in ("000000", pads.header["proof"]):
        await line.send(encode_lane(1, encode_frame(0x7B, {"first": 39_999, "proof": proof})))
    with pytest.raises(ChannelClosed):
        await line.receive(timeout_s=30)
    await line.close()
    return dict(pads.header)


@pytest.mark.campaign
def test_a_stranger_who_begins_a_block_costs_its_pads_and_nothing_of_the_record(tmp_path: Path) -> None:
    folder, copy = tmp_path / "example", tmp_path / "copy"
    make_example(folder, "--sifted-bits", "40000")
    shutil.copytree(folder, copy)

    async def main() -> tuple[Ended, Ended]:
        spied, port = await start_alice(copy, *SMALL)
        line, terms = await call_as_bob(port, {})
        await asyncio.gather(line.close(), spied.end())
        alice, port = await start_alice(folder, *SMALL)
        said = await claim_the_end(port, terms)
        assert said["first"] == 0
        bob = await start_bob(folder, port, *SMALL)
        return await alice.end(), await bob.end()

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert "does not hold the pads of this link" in alice.log
    assert_same_keys(folder, blocks=2)
    assert headers_of(folder, "alice")[0]["first_slot"] == 0
    assert (alice.said["pad_bits_spent"], bob.said["pad_bits_spent"]) == (3 * 1520, 2 * 1520)


@pytest.mark.campaign
def test_alice_further_than_bob_s_record_is_told_why_and_no_pads_are_spent_but_a_block_s(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")
    asyncio.run(distil_through(folder, *SMALL))
    (folder / "bob" / "link.auth.account" / "progress.json").unlink()
    alice, bob, _ = asyncio.run(distil_through(folder, *SMALL))
    assert (alice.status, bob.status) == (1, 1), alice.log + bob.log
    assert "too few for a block of 16,384 bits" in alice.log
    assert "2 keys of it are in" in bob.log
    assert "does not speak" not in alice.log
    assert all("1,520 pad bits were spent" in one.log for one in (alice, bob))
    assert_same_keys(folder, blocks=2)


@pytest.mark.campaign
def test_a_record_that_is_saved_again_is_not_distilled_again(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")
    asyncio.run(distil_through(folder, *SMALL))
    for name in ("alice", "bob"):
        path = folder / name / "sifted.npz"
        with np.load(path) as file:
            arrays = {one: file[one] for one in file.files}
        arrays["origin"] = np.array("saved again")
        np.savez_compressed(path, **arrays)
    alice, bob, _ = asyncio.run(distil_through(folder, *SMALL))
    assert (alice.status, bob.status) == (1, 1), alice.log + bob.log
    for name, party in (("alice", alice), ("bob", bob)):
        assert f"2 keys of it are in {folder}/{name}/keys" in party.log
        assert "take smaller blocks" not in party.log
    assert "this record is used up" in alice.log
    assert "0 pad bits were spent" in alice.log
    assert_same_keys(folder, blocks=2)


def refused(*arguments: str) -> str:
    done = subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "what to do" in done.stderr
    return done.stderr


def test_refusals_have_status_2_a_remedy_and_an_empty_standard_output(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")
    files = files_of(folder, "alice")
    assert "no decoy counts, no proof" in refused("alice", "--listen", "127.0.0.1:0", *files)
    assert "nobody called" in refused("alice", "--listen", "127.0.0.1:0", *files, *SMALL, "--wait", "0.2")
    assert "is alice's account" in refused("bob", "--connect", "127.0.0.1:9", *files, *SMALL)


def test_a_port_in_use_and_an_account_in_use(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")

    async def main() -> list[str]:
        alice, port = await start_alice(folder, *SMALL)
        try:
            same = await start("alice", "--listen", f"127.0.0.1:{port}", *files_of(folder, "alice"), *SMALL)
            shutil.copytree(folder / "bob", folder / "copy")
            options = ("--sifted", f"{folder}/alice/sifted.npz", "--out", f"{folder}/copy/keys", *SMALL)
            other = await start("alice", "--listen", f"127.0.0.1:{port}", "--key", f"{folder}/copy/link.auth", *options)
            return [(await one.end()).log for one in (same, other)]
        finally:
            alice.process.send_signal(signal.SIGTERM)
            await alice.end()

    in_use, port_taken = asyncio.run(main())
    assert "already in use by another process" in in_use
    assert "choose a free port" in port_taken


@pytest.mark.campaign
def test_an_exhausted_account_is_refused_with_the_remedy_and_a_fresh_key_fills_it(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")
    for name in ("alice", "bob"):
        shorten_key(folder / name / "link.auth", num_bits=1568)  # a block and a bit of pads

    alice, bob, _ = asyncio.run(distil_through(folder, *SMALL))
    assert (alice.status, bob.status) == (2, 2)
    assert_same_keys(folder, blocks=1)
    assert "48 pad bits left, a block takes 1520" in alice.log
    for party in (alice, bob):
        assert "48 pad bits left, a block takes 1520" in party.said["fault"]
        assert party.said["remedy"]
        assert len(party.said["blocks"]) == 1, "what was made before is told all the same"
    assert "--replenish" in alice.log
    fresh = tmp_path / "fresh"
    make_example(fresh, "--sifted-bits", "100")
    for name in ("alice", "bob"):
        shutil.copy(fresh / name / "link.auth", folder / name / "link.auth")
    alice, bob, _ = asyncio.run(distil_through(folder, *SMALL))
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert_same_keys(folder, blocks=2)


def shorten_key(path: Path, *, num_bits: int) -> None:
    """Cut an initial key: ``frame(kind 0x50, {..., "num_bits"}, key bytes)``."""
    data = path.read_bytes()
    size = int.from_bytes(data[6:8], "big")
    header = json.loads(data[8 : 8 + size])
    header["num_bits"] = num_bits
    head = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    body = data[8 + size : 8 + size + num_bits // 8]
    length = 4 + len(head) + len(body)
    path.write_bytes(length.to_bytes(4, "big") + data[4:6] + len(head).to_bytes(2, "big") + head + body)


NAMESPACES = """
set -e
ip link set lo up
ip link add qa type veth peer name qb
unshare -n sleep 900 & other=$!
until [ "$(readlink /proc/$other/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done
trap 'kill $other $proxy; wait $proxy' EXIT
ip link set qb netns $other
ip addr add 10.99.0.1/24 dev qa; ip link set qa up
in_other="nsenter -t $other -n"
$in_other ip addr add 10.99.0.2/24 dev qb; $in_other ip link set qb up
$PROXY & proxy=$!
"$@" alice --listen 10.99.0.1:7000 $ALICE & alice=$!
$in_other "$@" bob --connect 10.99.0.1:7001 $BOB
wait $alice
"""
NAMESPACE_PROBE = "ip link add qa type veth peer name qb && unshare -n true && command -v nsenter"


def distil_in_namespaces(folder: Path, *options: str, cut_after: tuple[int, ...], timeout_s: float) -> Path:
    """Let both parties distil, each in a network of its own, by a proxy that cuts; returns where the recordings are."""
    try:
        probe = ["unshare", "-Urn", "sh", "-c", NAMESPACE_PROBE]
        can = subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except OSError:
        can = False
    if not can:
        pytest.skip("NOT TESTED: this machine makes no network namespaces for this user (unshare, ip, nsenter)")
    recordings = folder / "recordings"
    recordings.mkdir()
    program = Path(__file__).parents[1] / "distil_support.py"
    proxy = (sys.executable, program, recordings, "10.99.0.1", 7001, 7000, *cut_after)
    roles = {name.upper(): " ".join((*files_of(folder, name), *options)) for name in ("alice", "bob")}
    done = subprocess.run(
        ["unshare", "-Urn", "bash", "-c", NAMESPACES, "bash", *QANAT],
        env={**os.environ, **roles, "PROXY": " ".join(map(str, proxy))},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (recordings / "cuts").read_text() == str(len(cut_after)), done.stderr
    return recordings


def assert_headers_fit(folder: Path, recordings: Path, *, frames: int, frame_bits: int) -> None:
    """Hold the ledgers in Alice's key files against the recording."""
    leaks = leaks_of(recordings_in(recordings), num_frames=frames, frame_bits=frame_bits)
    for header, leak in zip(headers_of(folder, "alice"), leaks, strict=True):
        ledger = header["ledger"]
        assert ledger["leaked_bits"] == {"cascade": leak.cascade, "verification": leak.verification}
        assert ledger["estimation_bits"] == leak.estimation


@pytest.mark.campaign
@pytest.mark.parametrize("method", ["winnow", "ldpc"])
def test_both_parties_may_choose_another_method_of_error_correction(tmp_path: Path, method: str) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "60000", "--qber", "0.02")
    alice, bob, _ = asyncio.run(distil_through(folder, *SMALL, "--reconciliation", method))
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert_same_keys(folder, blocks=3)
    assert {name for block in bob.said["blocks"] for name in block["ledger"]["leaked_bits"]} == {method, "verification"}


@pytest.mark.campaign
def test_both_parties_may_choose_the_modified_hash_and_shorter_tags(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000", "--qber", "0.02")
    options = ("--amplification", "modified-toeplitz", "--eps-auth", "1e-15")
    alice, bob, _ = asyncio.run(distil_through(folder, *SMALL, *options))
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert_same_keys(folder, blocks=2)
    for name in ("alice", "bob"):
        for header in headers_of(folder, name):
            assert header["amplification"] == "modified-toeplitz"
            assert header["ledger"]["tag_bits"] == 104
            assert header["ledger"]["pad_bits_spent"] == 2 * (128 + 3 * 104) + 2 * (128 + 104)
            assert header["ledger"]["pad_bits_destroyed"] == 48, "the two proofs, of which no tag is made"
            assert sum(stop - start for _, start, stop in header["ledger"]["pads"]) == 1344 + 48
    assert alice.said["pad_bits_spent"] == 2 * (1344 + 48)


def test_an_epsilon_beyond_the_longest_tag_is_refused_before_anybody_is_called(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "40000")
    said = refused("bob", "--connect", "127.0.0.1:1", *files_of(folder, "bob"), *SMALL, "--eps-auth", "1e-30")
    assert "eps_auth 1e-30 is too small" in said


def test_a_method_that_is_none_and_one_that_differs_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "60000", "--qber", "0.02")

    async def main() -> tuple[Ended, Ended]:
        alice, port = await start_alice(folder, *SMALL, "--wait", "30")
        bob = await start_bob(folder, port, *SMALL, "--wait", "30", "--reconciliation", "ldpc")
        return await bob.end(), await alice.end()

    for ended in asyncio.run(main()):
        assert ended.status == 2
        assert "reconciliation" in ended.log
    wrong = [*QANAT, "bob", "--connect", "127.0.0.1:1", *files_of(folder, "bob"), *SMALL, "--reconciliation", "crc"]
    done = subprocess.run(wrong, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "must be one of" in done.stderr


@pytest.mark.campaign
def test_two_network_namespaces_and_five_cuts(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "60000", "--qber", "0.02")
    cuts = (2_000, 20_000, 40_000, 60_000, 80_000)
    recordings = distil_in_namespaces(folder, *SMALL, "--wait", "30", cut_after=cuts, timeout_s=120)
    assert_same_keys(folder, blocks=3)
    assert_headers_fit(folder, recordings, frames=4, frame_bits=FRAME_BITS)


@pytest.mark.campaign
def test_58_megabits_between_two_network_namespaces_with_five_cuts(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--sifted-bits", "58000000", "--qber", "0.01")
    cuts = (10_000_000, 25_000_000, 50_000_000, 70_000_000, 90_000_000)
    options = ("--min-entropy", "0.6", "--block-bits", "4194304", "--wait", "60", "--in-flight", "6")
    recordings = distil_in_namespaces(folder, *options, cut_after=cuts, timeout_s=500)
    assert_same_keys(folder, blocks=12)
    assert_headers_fit(folder, recordings, frames=64, frame_bits=2**16)


@pytest.mark.campaign
def test_alice_bob_and_nature_share_no_file_memory_or_seed(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("NOT TESTED: strace is not installed (apt-get install strace)")
    folder = tmp_path / "example"
    calls = "trace=open,openat,creat,shmget,shmat,memfd_create,getrandom,process_vm_readv,execve"
    before = {
        name: (strace, "-f", "-qq", "-e", calls, "-o", str(tmp_path / name)) for name in ("nature", "alice", "bob")
    }
    nature = [*before["nature"], *QANAT, "make-example", str(folder), "--sifted-bits", "40000", "--seed", "987654321"]
    subprocess.run(nature, check=True, capture_output=True, timeout=120)

    async def main() -> tuple[Ended, Ended]:
        arguments = ("alice", "--listen", "127.0.0.1:0", *files_of(folder, "alice"), *SMALL)
        alice = await start(*arguments, before=before["alice"])
        port = (await alice.read_until(r"listening on 127\.0\.0\.1:(\d+)"))[1]
        arguments = ("bob", "--connect", f"127.0.0.1:{port}", *files_of(folder, "bob"), *SMALL)
        bob = await start(*arguments, before=before["bob"])
        return await alice.end(), await bob.end()

    alice, bob = asyncio.run(main())
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    traces = {name: (tmp_path / name).read_text() for name in before}
    opened = {
        name: set(re.findall(rf'open(?:at)?\([^"]*"({re.escape(str(tmp_path))}[^"]*)"', traces[name]))
        for name in traces
    }
    assert opened["alice"], "strace saw the party open its record"
    assert not opened["alice"] & opened["bob"], "the parties opened a file in common"
    for name in ("alice", "bob"):
        assert all(path.startswith(f"{folder}/{name}") for path in opened[name]), opened[name]
        assert "shmget" not in traces[name]
        assert "process_vm_readv" not in traces[name]
        assert "/dev/shm" not in traces[name]
        assert "987654321" not in traces[name], "nature's seed came to a party"
        assert "getrandom" in traces[name], "each party draws from the system"
        written = set(re.findall(r'openat\([^"]*"([^"]+)", [^)]*O_(?:WRONLY|RDWR)', traces[name]))
        strangers = {path for path in written if not path.startswith((str(folder / name), "/dev/"))}
        assert all("__pycache__" in path or path.endswith((".nbi", ".nbc")) for path in strangers), strangers


@pytest.mark.campaign
def test_sifted_bits_with_counts_make_a_key_per_range_whose_length_is_proven(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    make_example(folder, "--counts", "2", "--loss-db", "5", "--seconds", "2.5")

    async def run(**counts: Path) -> tuple[Ended, Ended]:
        ways = {name: ("--counts", str(counts.get(name, folder / name / "counts.json"))) for name in ("alice", "bob")}
        alice, port = await start_alice(folder, *ways["alice"], "--wait", "30", "--charge-replies")
        bob = await start_bob(folder, port, *ways["bob"], "--wait", "30", "--charge-replies")
        return await alice.end(), await bob.end()

    said = json.loads((folder / "bob" / "counts.json").read_text())
    said["ranges"][1]["diagonal"]["errors"][1] += 1
    other = tmp_path / "other.json"
    other.write_text(json.dumps(said))
    for ended in asyncio.run(run(bob=other)):
        assert ended.status == 2
        assert "the other party was started otherwise: counts is" in ended.log
    alice, bob = asyncio.run(run())
    assert (alice.status, bob.status) == (0, 0), alice.log + bob.log
    assert_same_keys(folder, blocks=2)
    ranges = json.loads((folder / "bob" / "counts.json").read_text())["ranges"]
    for header, given in zip(headers_of(folder, "bob"), ranges, strict=True):
        assert header["proof"].startswith("hoeffding, by decoy counts that were given with the record")
        assert header["given_counts"]["rectilinear"] == given["rectilinear"]
        assert header["given_counts"]["first_bit"] == header["first_slot"] == given["first_bit"]
        assert header["charges_replies"]
        ledger = header["ledger"]
        assert header["proof_terms"]["leaked"] == ledger["leaked_bits"]["cascade"] + ledger["reply_bits"]
    for ended in asyncio.run(run()):
        assert ended.status == 1
        assert "2 keys of it are in" in ended.log
    assert "no range of the counts is left" in asyncio.run(run())[0].log
