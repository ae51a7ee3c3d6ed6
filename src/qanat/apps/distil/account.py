"""A party's account of one link: its pads, and how far each record was used. Both durable before they count.

    <key file>             the initial key (`qanat pki`); taken in, then overwritten and removed
    <key file>.account/    lock, account.json (link and role), master.key, pads.sqlite, progress.json

The pads lie in the key store that key managers use: a spent bit is marked and overwritten before a session has it, and
no restart, crash or second process brings it back. A fresh key under the same name fills the same account.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from qanat.adapters.encryption import load_master_key
from qanat.adapters.folder_lock import held
from qanat.adapters.initial_keys import consume_initial_key, read_initial_key
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import read_private
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.apps.distil.record_files import Role
from qanat.ground.errors import (
    BlockUnknown,
    ConfigurationError,
    FrameError,
    KeyShortage,
    PadExhausted,
    PeerProtocolError,
)
from qanat.ground.framing import decode_frame
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId, RequestId
from qanat.ground.keys import PRE_SHARED, BitRange, KeyBlock, PoolId, SecretBytes, Selection, SpentBits, Use
from qanat.ground.ports import Entropy, KeyStore

KEPT_NAME: Final = "kept.txt"
IN_USE: Final = "one process per party: stop the other one, or give each party its own copy of the key file"


@dataclass(frozen=True, slots=True)
class LinkEnds:
    """The link that an account is of, and which end of it."""

    link_id: LinkId
    local: NodeId
    peer: NodeId
    role: Role

    @property
    def reserve(self) -> PoolId:
        return PoolId(self.link_id, None)


class LinkAccount:
    """An open account; get one from ``open_account``."""

    def __init__(self, folder: Path, ends: LinkEnds, store: KeyStore) -> None:
        self.ends = ends
        self._folder = folder
        self._store = store
        self._progress = _read_json(folder / "progress.json")
        self._noted: set[str] | None = None

    async def spend(self, request: str, *, num_bits: int, what: str = "a block") -> SpentBits:
        """Take pads for ``what``, for good; raises PadExhausted."""
        try:
            return await self._store.spend(
                self.ends.reserve, num_bits=num_bits, use=Use.AUTHENTICATION, request_id=RequestId(request)
            )
        except KeyShortage:
            raise PadExhausted(
                f"the account of link {self.ends.link_id!r} has {await self.left_bits()} pad bits left, {what} takes"
                f" {num_bits}",
                remedy="bring both parties a fresh initial key under the same name; with --replenish each block pays"
                " for the next",
            ) from None

    async def spend_range(self, bits: BitRange, *, num_bits: int, what: str = "a block") -> SpentBits:
        """Take the pads that the peer named for ``what``, for good.

        Raises PeerProtocolError when they are not just ``num_bits``: the word that names them has no tag, and nobody on
        the line shall have more destroyed. Raises PadReused, BlockUnknown.
        """
        if bits.num_bits != num_bits:
            raise PeerProtocolError(
                f"the other party named {bits.num_bits} pad bits, {what} takes {num_bits}",
                remedy="run the same version at both ends; when that is so, somebody alters the line",
            )
        try:
            return await self._store.spend_range(self.ends.reserve, bits, use=Use.AUTHENTICATION)
        except BlockUnknown:
            raise BlockUnknown(
                "the pads that the other party names are not in the account here: the two parties' copies of the"
                " initial key differ",
                remedy="give both parties copies of the same initial key, one made by one `qanat pki`",
            ) from None

    async def add_share(self, block_id: BlockId, secret: SecretBytes, *, utc_s: float, eps: float) -> None:
        """Put secret bits of a new block into the account; they count when ``confirm`` was called."""
        await self._store.add_block(_reserve_block(self.ends, block_id, secret, utc_s=utc_s, eps=eps))

    async def confirm(self, block_id: BlockId) -> None:
        """Let the share of a block be spent; raises BlockUnknown."""
        await self._store.confirm(block_id)

    async def void(self, block_id: BlockId) -> None:
        """Destroy what is left of a block's share."""
        await self._store.void(Selection(block_ids=frozenset({block_id})))

    async def left_bits(self) -> int:
        """Return how many pad bits can be spent."""
        level = (await self._store.levels()).get(self.ends.reserve)
        return level.available_bits if level else 0

    async def spent_bits(self) -> int:
        """Return how many pad bits were spent, ever."""
        level = (await self._store.levels()).get(self.ends.reserve)
        return sum(level.spent_bits.values()) if level else 0

    def first_slot(self, record: str) -> int:
        """Return the first slot of a record (by its digest) that no session has used."""
        value = self._progress.get(record, 0)
        return value if isinstance(value, int) else 0

    def advance(self, record: str, slot: int) -> None:
        """Note durably that slots before ``slot`` are used."""
        self._progress[record] = slot
        _write_durably(self._folder / "progress.json", self._progress)

    def note_kept(self, block_id: BlockId) -> None:
        """Note durably that a key counts: whoever takes its file away at once must not make this party forget it.

        Each is noted once, in a line of its own also where a power cut has torn the last one.
        """
        known, path = self._known(), self._folder / KEPT_NAME
        if block_id in known:
            return
        with machine_faults_named(path), open(path, "ab+", opener=_private) as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                is_torn = file.read(1) != b"\n"
            else:
                is_torn = False
            file.write(b"\n" * is_torn + f"{block_id}\n".encode("ascii"))
            file.flush()
            os.fsync(file.fileno())
        known.add(block_id)

    def kept(self, block_ids: Sequence[str]) -> list[str]:
        """Return those of some blocks whose keys were noted as kept, ever."""
        return [one for one in block_ids if one in self._known()]

    def _known(self) -> set[str]:
        """Return the ids of all keys that were noted as kept, read once. A torn line is no id, and harms none."""
        if self._noted is None:
            path = self._folder / KEPT_NAME
            with machine_faults_named(path):
                text = path.read_text(encoding="ascii", errors="replace") if path.exists() else ""
            self._noted = {line for line in text.split("\n") if line}
        return self._noted


@asynccontextmanager
async def open_account(key_path: Path, role: Role, *, entropy: Entropy) -> AsyncIterator[LinkAccount]:
    """Open a party's account, and take in the initial key in ``key_path`` if one is there.

    Raises ConfigurationError: neither is there, the key is no key, of another link, or another process has the account.
    """
    folder = key_path.with_name(key_path.name + ".account")
    if not key_path.exists() and not (folder / "account.json").exists():
        raise ConfigurationError(
            f"there is no initial key {key_path}, and no account of it",
            remedy="carry the key of the link to both parties (`qanat pki` makes it), and name each party's copy",
        )
    if not (folder / "account.json").exists():
        _ends_of_key(key_path, role)  # a file that is no key gets no account
    writer = StoreWriter()
    with held(folder, remedy=IN_USE):
        ends = _ends_of(key_path, folder, role)
        master_key = load_master_key(folder / "master.key", environment=os.environ, entropy=entropy)
        try:
            store = await SqliteKeyStore.open(folder / "pads.sqlite", master_key=master_key, writer=writer)
            try:
                await store.open_epoch()
                if key_path.exists():
                    await _take_in(key_path, ends, store)
                yield LinkAccount(folder, ends, store)
            finally:
                await store.close()
        finally:
            await writer.close()


async def _take_in(key_path: Path, ends: LinkEnds, store: SqliteKeyStore) -> None:
    block = read_initial_key(key_path, ends.local)
    await store.add_block(block)
    await store.confirm(block.block_id)
    block.bits.wipe()
    consume_initial_key(key_path)


def _ends_of(key_path: Path, folder: Path, role: Role) -> LinkEnds:
    """Return the link of an account; a new one is that of the key. Raises ConfigurationError when the two differ."""
    path = folder / "account.json"
    known = _ends_from(_read_json(path), role, path) if path.exists() else None
    given = _ends_of_key(key_path, role) if key_path.exists() else None
    if known and given and known != given:
        raise ConfigurationError(
            f"{key_path} is for link {given.link_id!r}, its account is of link {known.link_id!r}",
            remedy="keep one key file per link",
        )
    ends = known or given
    assert ends is not None
    if not known:
        alice, bob = (ends.local, ends.peer) if role == "alice" else (ends.peer, ends.local)
        _write_durably(path, {"ends": [alice, bob], "link_id": ends.link_id, "role": role})
    return ends


def _ends_of_key(key_path: Path, role: Role) -> LinkEnds:
    try:
        header = decode_frame(read_private(key_path)).header
    except FrameError as fault:
        raise ConfigurationError(f"{key_path} is no initial key: {fault}", remedy="make one with `qanat pki`") from None
    return _ends_from({**header, "role": role}, role, key_path)


def _ends_from(said: dict[str, object], role: Role, path: Path) -> LinkEnds:
    match said:
        case {"ends": [str(alice), str(bob)], "link_id": str(link_id), "role": str(said_role)}:
            if said_role != role:
                raise ConfigurationError(
                    f"{path} is {said_role}'s account; its pads are used up in {said_role}'s order",
                    remedy=f"give {role} a copy of the initial key that was never used here",
                )
            local, peer = (alice, bob) if role == "alice" else (bob, alice)
            return LinkEnds(LinkId(link_id), NodeId(local), NodeId(peer), role)
    raise ConfigurationError(f"{path} does not say which link it is of", remedy="make a key with `qanat pki`")


def _reserve_block(ends: LinkEnds, block_id: BlockId, secret: SecretBytes, *, utc_s: float, eps: float) -> KeyBlock:
    return KeyBlock(
        block_id=block_id,
        order_id=OrderId("distil"),
        link_id=ends.link_id,
        local=ends.local,
        peer=ends.peer,
        origin="twin",  # as initial keys: a stock never looks better than it is
        protocol=PRE_SHARED,  # all of it is reserve
        num_bits=secret.num_bits,
        bits=secret,
        eps_sec=eps,
        eps_cor=0.0,
        finished_utc_s=utc_s,
    )


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read_json(path: Path) -> dict[str, object]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise ConfigurationError(
            f"{path} is damaged", remedy="do not use this account any more: bring both parties a fresh initial key"
        )
    return said


def _write_durably(path: Path, said: dict[str, object]) -> None:
    """Write a file that appears whole or not at all, durable on return."""
    partial = path.with_name(path.name + ".part")
    with machine_faults_named(path):
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(said, file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
