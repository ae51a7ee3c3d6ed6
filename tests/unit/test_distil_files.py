"""Files of records and keys, the account of pads on disk, and what a party refuses before it says a word."""

from __future__ import annotations

import asyncio
import json
import re
import stat
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from distillation_support import SeededEntropy
from qanat.adapters.folder_lock import held
from qanat.apps.distil import party
from qanat.apps.distil.account import LinkAccount, open_account
from qanat.apps.distil.example import PADS_OF_BLOCKS, make_raw, make_sifted
from qanat.apps.distil.key_files import KeyFolder
from qanat.apps.distil.party import PartyOptions, parse_address
from qanat.apps.distil.record_files import (
    KNOWN_BY_ROWS,
    digest_of,
    protocol_text,
    read_raw,
    read_sifted,
    write_arrays,
    write_raw_alice,
    write_raw_bob,
    write_sifted,
)
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import BlockUnknown, ConfigurationError, PadExhausted, PadReused, PeerProtocolError
from qanat.ground.identifiers import BlockId
from qanat.ground.keys import BitRange, SecretBytes
from qanat.ground.ledger import Ledger
from qanat.protocols.decoy import DecoyProtocol
from qanat.quantum_layer.link_plan import LinkTask
from qanat.quantum_layer.recorded import RawDetections, RawPreparations, SiftedBits

FORMATS = Path(__file__).parents[2] / "docs" / "formats" / "records.md"
FROM = {"origin": "a test"}
BLOCK_PADS = 928
"""What a block takes in these tests: 2 x (128 + 3 x 112)."""
BLOCK = "00000000-0000-4000-8000-000000000001"


def column(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    slots = np.array([3, 9], dtype=np.uint64)
    light = DecoyProtocol((0.5, 0.1, 0.0), (0.5, 0.25, 0.25), 0.75)
    write_raw_bob(tmp_path / "b.npz", RawDetections(slots, column(0, 1), column(1, 1), 12), light, **FROM)
    write_raw_alice(
        tmp_path / "a.npz", RawPreparations(column(0, 1), column(1, 0), column(0, 2), 12, slots), light, origin="a test"
    )
    write_raw_alice(
        tmp_path / "all.npz", RawPreparations(column(0, 1), column(1, 0), column(0, 2), 2), light, origin="a test"
    )
    bob, said = read_raw(tmp_path / "b.npz", "bob")
    assert isinstance(bob, RawDetections)
    assert (list(bob.slots), list(bob.bases), list(bob.bits), bob.num_slots) == ([3, 9], [0, 1], [1, 1], 12)
    assert said == light
    alice, _ = read_raw(tmp_path / "a.npz", "alice")
    every, _ = read_raw(tmp_path / "all.npz", "alice")
    assert isinstance(alice, RawPreparations)
    assert isinstance(every, RawPreparations)
    assert (alice.slots is not None, every.slots) == (True, None)
    assert list(alice.intensities) == [0, 2]
    assert stat.S_IMODE((tmp_path / "a.npz").stat().st_mode) == 0o600


@pytest.mark.parametrize("num_bits", [1, 7, 8, 9, 65])
def test_sifted_bits_are_packed_lowest_first(tmp_path: Path, num_bits: int) -> None:
    bits = np.random.default_rng(1).integers(0, 2, num_bits, dtype=np.uint8)
    write_sifted(tmp_path / "s.npz", SiftedBits(bits, 1 - bits), **FROM)
    found = read_sifted(tmp_path / "s.npz")
    assert (found.bits == bits).all()
    assert found.bases is not None
    assert (found.bases == 1 - bits).all()
    with np.load(tmp_path / "s.npz") as file:
        assert [int(file["bits"][i // 8]) >> i % 8 & 1 for i in range(num_bits)] == list(bits)


def test_columns_of_other_whole_number_types_are_taken(tmp_path: Path) -> None:
    """A recorder that saves int64 slots and bool bits has written a record too."""
    arrays = {"slots": np.array([3, 9]), "bases": np.array([True, False]), "bits": np.array([0, 1])}
    write_arrays(tmp_path / "b.npz", "qanat-raw-bob-1", num_slots=10, **arrays)
    record, light = read_raw(tmp_path / "b.npz", "bob")
    assert record.bits.dtype == np.uint8
    assert light is None


GOOD: dict[str, Any] = {
    "num_slots": 10,
    "slots": np.array([1, 2]),
    "bases": np.array([0, 1]),
    "bits": np.array([0, 1]),
}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"slots": np.array([-1, 2])}, "negative"),
        ({"slots": np.array([0.5, 2])}, "no column"),
        ({"slots": np.array([2, 1])}, "do not increase"),
        ({"bits": np.array([0, 300])}, "numbers above 255"),
        ({"bits": np.array([0, 2])}, "values above 1"),
        ({"bits": np.array([0])}, "no column of 2"),
        ({"bits": None}, "no column"),
        ({"num_slots": 2.5}, "no whole number"),
        ({"num_slots": 1}, "reach beyond"),
        ({"protocol": "{}"}, "protocol is none"),
        ({"protocol": "{"}, "protocol is none"),
        (
            {"protocol": json.dumps({"intensities": [1, 2, 3], "p_intensities": [1, 0, 0], "p_rectilinear": 1})},
            "protocol is none",
        ),
    ],
)
def test_a_wrong_record_is_named_with_its_file_and_its_fault(
    tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    path = tmp_path / "record.npz"
    arrays = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    write_arrays(path, "qanat-raw-bob-1", **arrays)
    with pytest.raises(ConfigurationError, match=fault) as caught:
        read_raw(path, "bob")
    assert str(path) in caught.value.message
    assert caught.value.remedy


def many(num_rows: int) -> dict[str, Any]:
    dice = np.random.default_rng(3)
    bits, bases = dice.integers(0, 2, (2, num_rows), dtype=np.uint8)
    return {"slots": np.cumsum(dice.integers(1, 9, num_rows)), "bases": bases, "bits": bits, "num_slots": 10**6}


def digest_in(path: Path, *, compress: bool = False, cut: int | None = None, **changes: Any) -> str:
    arrays = {name: value[:cut] if np.ndim(value) else value for name, value in {**many(5000), **changes}.items()}
    (np.savez_compressed if compress else np.savez)(path, format=np.array("qanat-raw-bob-1"), **arrays)
    path.chmod(0o600)
    return digest_of(read_raw(path, "bob")[0])


def test_a_record_is_known_by_its_bits_and_not_by_its_file(tmp_path: Path) -> None:
    path, columns = tmp_path / "b.npz", many(5000)
    known = digest_in(path)
    assert digest_in(path, compress=True) == known
    assert digest_in(path, origin="another") == known
    assert digest_in(path, bits=columns["bits"].astype(np.int64), slots=columns["slots"].astype(np.uint32)) == known
    assert digest_in(path, protocol=protocol_text(DecoyProtocol()), num_slots=10**7) == known
    assert digest_in(path, cut=4000) == known, "a recording that goes on is the same"
    assert digest_in(path, cut=KNOWN_BY_ROWS) == known
    other = columns["bits"].copy()
    other[7] ^= 1
    assert digest_in(path, bits=other) != known
    assert digest_in(path, slots=columns["slots"] + 1) != known
    with pytest.raises(ConfigurationError, match=r"holds 2,047 bits, and fewer than 2,048"):
        digest_in(path, cut=KNOWN_BY_ROWS - 1)


def test_sifted_bits_are_known_with_and_without_bases_and_preparations_with_and_without_slots() -> None:
    bits, bases = (many(3000)[name] for name in ("bits", "bases"))
    assert digest_of(SiftedBits(bits)) == digest_of(SiftedBits(bits, bases)) != digest_of(SiftedBits(1 - bits))
    every = RawPreparations(bases, bits, bases, 3000)
    some = RawPreparations(bases[:2500], bits[:2500], bases[:2500], 3000, np.arange(2500, dtype=np.uint64))
    assert digest_of(every) == digest_of(some)


def test_an_account_that_knows_a_record_by_its_file_goes_on_where_it_says(example: Path) -> None:
    async def work(account: LinkAccount) -> None:
        account.advance("of the file", 17)
        party._take_over_progress(account, "of the bits", "of the file")
        assert account.first_slot("of the bits") == 17
        account.advance("of the bits", 40)
        party._take_over_progress(account, "of the bits", "of the file")
        assert account.first_slot("of the bits") == 40

    with_account(example, work)


def test_a_file_that_is_no_key_gets_no_account(tmp_path: Path) -> None:
    junk = tmp_path / "junk"
    junk.write_text("junk")
    junk.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no initial key"):
        asyncio.run(_open(junk, "alice"))
    assert list(tmp_path.iterdir()) == [junk]


def test_files_that_are_no_records(tmp_path: Path) -> None:
    text = tmp_path / "text.npz"
    text.write_text("slots\n1\n")
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, format=np.array("qanat-sifted-1"), bits=np.array([{}], dtype=object))
    other = tmp_path / "other.npz"
    write_arrays(other, "qanat-key-1", secret=column(1))
    short = tmp_path / "short.npz"
    write_arrays(short, "qanat-sifted-1", num_bits=9, bits=column(1))
    none = tmp_path / "none.npz"
    write_arrays(none, "qanat-sifted-1", num_bits=9)
    for path in (text, pickled):
        path.chmod(0o600)
        with pytest.raises(ConfigurationError, match=r"no \.npz file of plain arrays: (it|an array)") as caught:
            read_sifted(path)
        assert "allow_pickle" not in caught.value.message, "nobody is told to trust the file"
    for path, fault in ((other, "'qanat-sifted-1' is needed"), (short, "9 packed bits"), (none, "no array 'bits'")):
        with pytest.raises(ConfigurationError, match=fault):
            read_sifted(path)
    short.chmod(0o640)
    with pytest.raises(ConfigurationError, match="other users"):
        read_sifted(short)
    with pytest.raises(ConfigurationError, match="missing"):
        read_sifted(tmp_path / "missing.npz")


def with_account(folder: Path, work: Callable[[LinkAccount], Awaitable[None]], *, role: Any = "alice") -> None:
    async def main() -> None:
        async with open_account(folder / role / "link.auth", role, entropy=SeededEntropy(1)) as account:
            await work(account)

    asyncio.run(main())


@pytest.fixture
def example(tmp_path: Path) -> Path:
    make_sifted(tmp_path / "example", num_bits=4096, qber=0.01, seed=1)
    return tmp_path / "example"


def test_pads_are_spent_once_over_all_starts_and_alike_at_both_ends(example: Path) -> None:
    spent: list[Any] = []

    async def spend(account: LinkAccount) -> None:
        spent.append(await account.spend("one", num_bits=BLOCK_PADS))

    for _ in range(3):
        with_account(example, spend)
    assert len({one.secret.reveal() for one in spent}) == 3

    async def follow(account: LinkAccount) -> None:
        for one in reversed(spent):
            assert (await account.spend_range(one.bits, num_bits=BLOCK_PADS)).secret == one.secret
            with pytest.raises(PadReused):
                await account.spend_range(one.bits, num_bits=BLOCK_PADS)
        assert await account.spent_bits() == 3 * BLOCK_PADS

    with_account(example, follow, role="bob")


def test_a_peer_cannot_name_more_pads_than_a_block_takes(example: Path) -> None:
    """The word that names them has no tag: who alters it may stop a block, and have no more pads destroyed."""

    async def work(account: LinkAccount) -> None:
        before = await account.left_bits()
        bits = (await account.spend("one", num_bits=2 * BLOCK_PADS)).bits
        with pytest.raises(PeerProtocolError, match=f"named {2 * BLOCK_PADS} pad bits, a block takes {BLOCK_PADS}"):
            await account.spend_range(bits, num_bits=BLOCK_PADS)
        assert await account.left_bits() == before - 2 * BLOCK_PADS

    with_account(example, work)


def test_an_account_that_is_empty_refuses_and_a_share_of_a_block_fills_it(example: Path) -> None:
    async def work(account: LinkAccount) -> None:
        while await account.left_bits() >= BLOCK_PADS:
            await account.spend("all", num_bits=BLOCK_PADS)
        spent, left = await account.spent_bits(), await account.left_bits()
        assert spent + left == PADS_OF_BLOCKS * SESSION_PAD_BITS
        with pytest.raises(PadExhausted, match=f" {left} pad bits left, a block takes {BLOCK_PADS}"):
            await account.spend("more", num_bits=BLOCK_PADS)
        assert (await account.spent_bits(), await account.left_bits()) == (spent, left), "a refusal spends nothing"
        share = SecretBytes(bytes(range(256)))
        await account.add_share(BlockId(BLOCK), share, utc_s=0.0, eps=1e-9)
        assert await account.left_bits() == left
        await account.confirm(BlockId(BLOCK))
        again = (await account.spend("again", num_bits=BLOCK_PADS)).secret.reveal()
        assert again[left // 8 :] == bytes(range((BLOCK_PADS - left) // 8)), "the rest of the old pads, then the new"
        await account.void(BlockId(BLOCK))
        with pytest.raises(BlockUnknown):
            await account.confirm(BlockId(BLOCK))

    with_account(example, work)


def test_progress_is_kept_by_record_over_starts(example: Path) -> None:
    async def go_on(account: LinkAccount) -> None:
        account.advance("record", 17)

    async def look(account: LinkAccount) -> None:
        assert (account.first_slot("record"), account.first_slot("other")) == (17, 0)

    with_account(example, go_on)
    with_account(example, look)


def test_a_key_is_noted_once_and_a_torn_line_spoils_no_other(example: Path) -> None:
    path = example / "alice" / "link.auth.account" / "kept.txt"
    one, two = (BlockId(f"{BLOCK[:-1]}{number}") for number in (1, 2))

    async def note(account: LinkAccount) -> None:
        for block_id in (one, one):
            account.note_kept(block_id)

    with_account(example, note)
    with_account(example, note)
    assert path.read_text() == f"{one}\n"
    path.write_text(f"{one}\n{two[:20]}")  # the machine lost power while the second was written

    async def go_on(account: LinkAccount) -> None:
        assert account.kept([one, two]) == [one]
        account.note_kept(two)

    with_account(example, go_on)
    assert path.read_text() == f"{one}\n{two[:20]}\n{two}\n"

    async def look(account: LinkAccount) -> None:
        assert account.kept([two, one]) == [two, one]

    with_account(example, look)


def test_pads_of_another_initial_key_are_refused_with_the_reason(example: Path, tmp_path: Path) -> None:
    make_sifted(tmp_path / "other", num_bits=4096, qber=0.01, seed=2)
    named: list[BitRange] = []

    async def name(account: LinkAccount) -> None:
        named.append((await account.spend("one", num_bits=BLOCK_PADS)).bits)

    async def follow(account: LinkAccount) -> None:
        with pytest.raises(BlockUnknown, match="copies of the initial key differ"):
            await account.spend_range(named[0], num_bits=BLOCK_PADS)

    with_account(example, name)
    with_account(tmp_path / "other", follow, role="bob")


def test_a_folder_of_keys_that_another_party_writes_to_is_refused(example: Path) -> None:
    with held(example / "alice" / "keys"), pytest.raises(ConfigurationError, match="already in use") as caught:
        party.distil(options_for(example), tell=lambda _: None, on_port=lambda _: None)
    assert "a folder of its own with --out" in str(caught.value.remedy)


def test_a_record_whose_protocol_is_none_is_named_once(tmp_path: Path) -> None:
    path = tmp_path / "bob.npz"
    few = column(1)
    write_arrays(
        path,
        "qanat-raw-bob-1",
        num_slots=5,
        protocol="[]",
        slots=few.astype(np.uint64),
        bases=few.astype(np.uint8),
        bits=few.astype(np.uint8),
    )
    with pytest.raises(ConfigurationError, match="its protocol is none") as caught:
        read_raw(path, "bob")
    assert caught.value.message.count(str(path)) == 1


def test_an_account_is_of_one_party_one_link_one_process(example: Path, tmp_path: Path) -> None:
    async def nothing(account: LinkAccount) -> None:
        with pytest.raises(ConfigurationError, match="already in use"):
            async with open_account(example / "alice" / "link.auth", "alice", entropy=SeededEntropy(1)):
                pass

    with_account(example, nothing)
    with pytest.raises(ConfigurationError, match="is alice's account"):
        asyncio.run(_open(example / "alice" / "link.auth", "bob"))
    with pytest.raises(ConfigurationError, match="no initial key"):
        asyncio.run(_open(tmp_path / "none.auth", "bob"))
    damaged = example / "alice" / "link.auth.account" / "progress.json"
    damaged.write_text("[]")
    with pytest.raises(ConfigurationError, match="is damaged"):
        asyncio.run(_open(example / "alice" / "link.auth", "alice"))


async def _open(path: Path, role: Any) -> None:
    async with open_account(path, role, entropy=SeededEntropy(1)):
        pass


def test_an_unsure_key_is_kept_or_destroyed_and_a_strange_id_finds_nothing(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    for number in (1, 2):
        name = f"unsure-{number:020d}-{BLOCK[:-1]}{number}.npz"
        write_arrays(keys.folder / name, "qanat-key-1", secret=column(7))
    one, two = (f"{BLOCK[:-1]}{number}" for number in (1, 2))
    assert sorted(keys.unsure()) == [one, two]
    assert keys.kept([one, "?" * 36, "*", BLOCK[:-1] + "9"]) == [one]
    assert keys.keep(one) == keys.folder / f"key-{1:020d}-{one}.npz"
    assert keys.keep(one) == keys.folder / f"key-{1:020d}-{one}.npz"
    keys.destroy(two)
    keys.destroy(one)
    assert [path.name for path in keys.folder.iterdir()] == [f"key-{1:020d}-{one}.npz"]
    assert keys.keep(two) is None


def test_no_pattern_for_keys_takes_an_unsure_one_and_those_of_older_versions_are_settled(tmp_path: Path) -> None:
    keys = KeyFolder(tmp_path / "keys")
    old, new = (f"{BLOCK[:-1]}{number}" for number in (1, 2))
    write_arrays(keys.folder / f"key-{1:020d}-{old}.unsure.npz", "qanat-key-1", secret=column(7))
    names = "session_id num_bits key_bits sifted_bits link_slots qber f_ec eps_sec eps_cor amplification"
    length = SimpleNamespace(proof="", terms={})
    key: Any = SimpleNamespace(
        block_id=new, ledger=Ledger(), length=length, counts=BitRange(()), **dict.fromkeys(names.split(), 0)
    )
    keys.write(key, b"secret", first_slot=2, said={"record_sha256": "digest"})
    assert [path.name[:4] for path in keys.folder.glob("key-*.npz")] == ["key-"], "the older one alone"
    assert sorted(keys.unsure()) == [old, new]
    assert keys.num_of("digest") == 0
    assert keys.keep(old) == keys.folder / f"key-{1:020d}-{old}.npz"
    assert keys.keep(new) == keys.folder / f"key-{2:020d}-{new}.npz"
    assert keys.unsure() == []
    assert (keys.num_of("digest"), keys.num_of("other")) == (1, 0)


def test_addresses() -> None:
    assert parse_address("10.0.0.1:7000", least_port=1) == ("10.0.0.1", 7000)
    assert parse_address("[::1]:0", least_port=0) == ("::1", 0)
    for text in ("7000", ":7000", "host:", "host:x", "host:65536", "host:0"):
        with pytest.raises(ConfigurationError, match="no address"):
            parse_address(text, least_port=1)


def options_for(example: Path, **changes: Any) -> PartyOptions:
    own = example / "alice"
    values: dict[str, Any] = {
        "role": "alice",
        "host": "127.0.0.1",
        "port": 0,
        "raw": None,
        "sifted": own / "sifted.npz",
        "key": own / "link.auth",
        "out": own / "keys",
        "block_bits": 4096,
        "system": None,
        "disclosed": 0.1,
        "min_entropy": 0.5,
        "qber_abort": 0.05,
        "eps_sec": 1e-9,
        "replenish": False,
        "wait_s": 0.1,
    }
    return PartyOptions(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"min_entropy": None}, "no decoy counts, no proof"),
        ({"min_entropy": 1.1}, "--min-entropy 1.1 is out of range"),
        ({"min_entropy": 0.0}, "--min-entropy 0 is out of range"),
        ({"min_entropy": float("nan")}, "--min-entropy nan is out of range"),
        ({"wait_s": float("inf")}, "--wait inf is out of range"),
        ({"wait_s": float("nan")}, "--wait nan is out of range"),
        ({"in_flight": 1_000_000}, "--in-flight 1000000 is out of range"),
        ({"sifted": None}, "one record"),
        ({"raw": Path("x.npz")}, "one record"),
        ({"sifted": Path("missing.npz")}, "missing.npz"),
        ({"block_bits": 1000}, "cannot be made"),
        ({"disclosed": 1.0}, "options that cannot be"),
        ({"eps_sec": 0.0}, "options that cannot be"),
        ({"eps_sec": 0.5}, "a key may be known"),
        ({"reconciliation": "ldpc"}, "too short for --reconciliation ldpc"),
    ],
)
def test_options_that_cannot_be_are_refused(example: Path, changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(fault)) as caught:
        party.distil(options_for(example, **changes), tell=lambda _: None, on_port=lambda _: None)
    assert caught.value.remedy


def test_raw_records_need_to_know_their_light(tmp_path: Path) -> None:
    make_raw(tmp_path / "example", LinkTask("backbone-625", 10.0, 0.01), seed=1)
    path = tmp_path / "example" / "alice" / "raw.npz"
    record, light = read_raw(path, "alice")
    assert light == DecoyProtocol((0.6, 0.2, 0.0), light.p_intensities if light else (0, 0, 0))
    assert isinstance(record, RawPreparations)
    assert record.slots is not None
    bare = tmp_path / "bare.npz"
    columns = {"bases": record.bases, "bits": record.bits, "intensities": record.intensities, "slots": record.slots}
    write_arrays(bare, "qanat-raw-alice-1", num_slots=record.num_slots, **columns)
    raw = options_for(tmp_path / "example", raw=bare, sifted=None, min_entropy=None)
    with pytest.raises(ConfigurationError, match="does not say how the light was made"):
        party.distil(raw, tell=lambda _: None, on_port=lambda _: None)
    stated = options_for(tmp_path / "example", raw=path, sifted=None)
    with pytest.raises(ConfigurationError, match="is for sifted bits"):
        party.distil(stated, tell=lambda _: None, on_port=lambda _: None)


def test_the_same_seed_gives_the_same_clicks_and_other_bits(tmp_path: Path) -> None:
    records = []
    for name in ("one", "two"):
        make_raw(tmp_path / name, LinkTask("backbone-625", 10.0, 0.01), seed=5)
        records.append(read_raw(tmp_path / name / "bob" / "raw.npz", "bob")[0])
    one, two = records
    assert isinstance(one, RawDetections)
    assert isinstance(two, RawDetections)
    assert (one.slots == two.slots).all()
    assert (one.bits != two.bits).any()


def test_the_readers_on_the_format_page_run(tmp_path: Path, example: Path) -> None:
    """Each Python example of the page, by itself, in a fresh interpreter, on files of the names that it uses."""
    make_raw(tmp_path / "raw", LinkTask("backbone-625", 10.0, 0.01), seed=1)
    for source, name in (
        (tmp_path / "raw/alice/raw.npz", "raw-alice.npz"),
        (tmp_path / "raw/bob/raw.npz", "raw-bob.npz"),
        (example / "alice/sifted.npz", "sifted.npz"),
    ):
        (tmp_path / name).write_bytes(source.read_bytes())
        (tmp_path / name).chmod(0o600)
    header = json.dumps({"proof": "a proof", "eps_sec": 1e-9, "ledger": {}})
    write_arrays(tmp_path / "key.npz", "qanat-key-1", secret=column(1, 2), num_bits=16, header=header)
    examples = re.findall(r"```python\n(.*?)```", FORMATS.read_text(encoding="utf-8"), re.S)
    assert len(examples) >= 3
    for text in examples:
        done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert read_raw(tmp_path / "bob.npz", "bob")[0].num_slots == 12_500_000_000
