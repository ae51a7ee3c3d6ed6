"""Key files as the key of a link: what ``qanat distil`` (or anybody) left in a folder at each end.

    <folder>/key-<anything>-<block id>.npz      a key, the same at both ends; ``unsure-...`` is not touched

A file is taken once: it is destroyed when both key managers have its key durably, and its id is remembered for ever.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qanat.adapters.key_sources import SourceFault, SourceKey, SpentBefore
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import destroy_private
from qanat.adapters.used_keys import UsedKeys
from qanat.apps.distil.key_files import ENDING, ID_LENGTH, KEPT, OLD_UNSURE
from qanat.apps.distil.record_files import KEY, read_arrays
from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.identifiers import KeyID, LinkId, canonical_key_id
from qanat.ground.keys import Origin, SecretBytes

LAG_S = 3.0
"""The same file may reach the other end a moment later."""
LAG_PAUSE_S = 0.5


class KeyFileSource:
    """One end's folder. Its files are read only while nobody else can read them."""

    protocol = "key-files"
    keys_per_block = 1
    patience_s = 5.0
    slow_after_s = 2.0
    hold_off_s = 1.0

    def __init__(self, folder: Path, *, link_id: LinkId, origin: Origin, used: UsedKeys) -> None:
        self.origin: Origin = origin
        self._folder = folder
        self._link_id = link_id
        self._used = used
        self._given: dict[KeyID, None] = {}
        with machine_faults_named(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def look(self) -> None:
        if not self._folder.is_dir():
            raise self._unreadable(f"the folder {self._folder} is gone", "make it again, for this user alone")

    async def take_new(self, count: int) -> Sequence[SourceKey]:
        """Return the file that was tried least lately, if there is one."""
        await self.look()
        names = {one: place for place, one in enumerate(self._given)}
        waiting = sorted(self._files().items(), key=lambda item: (names.get(item[0], -1), item[1].name))
        for key_id, path in waiting[:count]:
            self._given.pop(key_id, None)
            self._given[key_id] = None
            if not await self._used.were_used([key_id]):
                return [self._read(path, key_id)]
            self._destroy(key_id)  # a crash came between the end of its key and its own
        return ()

    async def take_by_ids(self, key_ids: Sequence[KeyID]) -> Sequence[SourceKey]:
        """Return the key of one file, which stays until ``forget``; raises SpentBefore for one that was used."""
        if len(key_ids) != 1:
            raise self._unreadable(f"{len(key_ids)} key files were offered as one block", "update the older side")
        (key_id,) = key_ids
        if await self._used.were_used([key_id]):
            self._destroy(key_id)
            raise SpentBefore(f"the key file {key_id} was used here before")
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + LAG_S
        while (path := self._files().get(key_id)) is None:
            if loop.time() >= deadline_s:
                raise SourceFault(
                    f"no key file {key_id} is in {self._folder}",
                    code="key-file-missing",
                    remedy="bring the same files to both ends; files that have no pair are of no use",
                )
            await asyncio.sleep(LAG_PAUSE_S)
        return [self._read(path, key_id)]

    async def forget(self, key_ids: Sequence[KeyID]) -> None:
        await self._used.claim(key_ids)
        for key_id in key_ids:
            self._destroy(key_id)

    async def close(self) -> None:
        self._used.close()

    def _destroy(self, key_id: KeyID) -> None:
        """Overwrite and remove a key's file; raises SourceFault when the machine does not let us."""
        if path := self._files().get(key_id):
            try:
                destroy_private(path)
            except OSError as fault:
                why = f"{path} was used and cannot be destroyed: {fault.strerror}"
                raise self._unreadable(why, "let this user write there, or destroy it by hand") from None

    def _unreadable(self, why: str, remedy: str) -> SourceFault:
        return SourceFault(f"link {self._link_id}: {why}", code="key-files-unreadable", remedy=remedy)

    def _files(self) -> dict[KeyID, Path]:
        """Return the files of the folder that are keys, by their ids."""
        found = {}
        for path in self._folder.glob(f"{KEPT}*{ENDING}"):
            if not path.name.endswith(OLD_UNSURE):
                try:
                    found[canonical_key_id(path.name.removesuffix(ENDING)[-ID_LENGTH:])] = path
                except BadParameter:
                    continue
        return found

    def _read(self, path: Path, key_id: KeyID) -> SourceKey:
        """Return the key in a file; raises SourceFault for one that is of another link, or that does not hold."""
        try:
            arrays = read_arrays(path, KEY)
            header = json.loads(str(arrays["header"]))
            secret = np.ascontiguousarray(arrays["secret"], dtype=np.uint8).tobytes()
            is_whole = int(arrays["num_bits"]) == 8 * len(secret) > 0 and header["block_id"] == key_id
            eps_sec = float(header["eps_sec"])
            if not is_whole:
                raise ValueError("it does not hold a key of this id, whole")
            if (link_id := header.get("link_id", self._link_id)) != self._link_id:
                raise ValueError(
                    f"it is of link {link_id!r}, for which its parties' initial key was made, not of {self._link_id!r}"
                )
        except (ConfigurationError, KeyError, TypeError, ValueError) as fault:
            raise self._unreadable(f"{path} is no key file: {fault}", "take it out of the folder") from None
        return SourceKey(key_id, SecretBytes(secret), eps_sec)
