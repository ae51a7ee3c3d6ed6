"""Secret keys as files, two phases: written and unsure, then kept when the other party has the same block.

    <folder>/key-<first slot, 20 digits>-<block id>.npz           kept: both parties have it
    <folder>/unsure-<first slot, 20 digits>-<block id>.npz        the other party was not heard of since

No pattern for the first takes the second with it. Before, the second were called key-....unsure.npz; those are settled
as well.

A party that finds an unsure key at its start asks: what the other one has is kept, what it has not is destroyed.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np

from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import destroy_private
from qanat.apps.distil.record_files import KEY, write_arrays
from qanat.ground.identifiers import BlockId
from qanat.postprocessing.config import DistilledKey

UNSURE: Final = "unsure-"
KEPT: Final = "key-"
ENDING: Final = ".npz"
OLD_UNSURE: Final = ".unsure.npz"
ID_LENGTH: Final = 36


class KeyFolder:
    """The key files of one party."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with machine_faults_named(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def unsure(self) -> list[BlockId]:
        """Return the blocks of which nobody knows yet whether the other party has them."""
        paths = [*self.folder.glob(f"{UNSURE}*{ENDING}"), *self.folder.glob(f"{KEPT}*{OLD_UNSURE}")]
        return [BlockId(one.name.removesuffix(OLD_UNSURE).removesuffix(ENDING)[-ID_LENGTH:]) for one in paths]

    def kept(self, block_ids: Sequence[str]) -> list[str]:
        """Return those of some blocks that are here, kept or unsure."""
        return [one for one in block_ids if self._kept(one) or self._unsure(one)]

    def num_of(self, record_digest: str) -> int:
        """Return how many kept keys of a record are here."""
        paths = self.folder.glob(f"{KEPT}*{ENDING}")
        return sum(_record_of(path) == record_digest for path in paths if not path.name.endswith(OLD_UNSURE))

    def write(self, key: DistilledKey, secret: bytes, *, first_slot: int, said: Mapping[str, Any]) -> Path:
        """Write a key, unsure yet: ``secret`` packed, with its ledger, its proof and ``said``."""
        path = self.folder / f"{UNSURE}{first_slot:020d}-{key.block_id}{ENDING}"
        header = {**description(key), **said}
        write_arrays(
            path,
            KEY,
            secret=np.frombuffer(secret, dtype=np.uint8),
            num_bits=8 * len(secret),
            header=json.dumps(header, sort_keys=True),
        )
        return path

    def keep(self, block_id: str) -> Path | None:
        """Give an unsure key its name; returns its file, None when there is no such key. Idempotent."""
        path = self._unsure(block_id)
        if path is None:
            return self._kept(block_id)
        bare = path.name.removesuffix(OLD_UNSURE).removesuffix(ENDING).removeprefix(UNSURE).removeprefix(KEPT)
        name = path.with_name(f"{KEPT}{bare}{ENDING}")
        with machine_faults_named(path):
            path.rename(name)
        return name

    def destroy(self, block_id: str) -> None:
        """Overwrite and remove an unsure key."""
        path = self._unsure(block_id)
        if path is not None:
            destroy_private(path)

    def _kept(self, block_id: str) -> Path | None:
        return self._find(KEPT, block_id, ENDING)

    def _unsure(self, block_id: str) -> Path | None:
        return self._find(UNSURE, block_id, ENDING) or self._find(KEPT, block_id, OLD_UNSURE)

    def _find(self, beginning: str, block_id: str, ending: str) -> Path | None:
        if len(block_id) != ID_LENGTH or not set(block_id) <= set("0123456789abcdef-"):
            return None  # what a peer says is no pattern for files
        return next(self.folder.glob(f"{beginning}*-{block_id}{ending}"), None)


def _record_of(path: Path) -> object:
    """Return the digest of the record that a key was made of; None of a file that says none."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return json.loads(str(archive["header"])).get("record_sha256")
    except (OSError, ValueError, EOFError, KeyError, AttributeError, TypeError, zipfile.BadZipFile):
        return None


def description(key: DistilledKey) -> dict[str, Any]:
    """Return all that is public about a key, for its header and for machines."""
    ledger = key.ledger
    return {
        "block_id": key.block_id,
        "session_id": key.session_id,
        "distilled_bits": key.num_bits,
        "key_bits": key.key_bits,
        "sifted_bits": key.sifted_bits,
        "link_slots": key.link_slots,
        "qber": key.qber,
        "f_ec": key.f_ec,
        "eps_sec": key.eps_sec,
        "eps_cor": key.eps_cor,
        "amplification": key.amplification,
        "proof": key.length.proof,
        "proof_terms": key.length.terms,
        "counts": asdict(key.counts),
        "ledger": {
            "leaked_bits": dict(ledger.leaked_bits),
            "reply_bits": ledger.reply_bits,
            "estimation_bits": ledger.estimation_bits,
            "tag_bits": ledger.tag_bits,
            "tags_sent": ledger.tags_sent,
            "tags_checked": ledger.tags_checked,
            "pad_bits_spent": ledger.pad_bits_spent,
            "pad_bits_destroyed": ledger.pad_bits_destroyed,
            "pads": ledger.pads.to_json(),
        },
    }
