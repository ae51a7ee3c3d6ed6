"""The initial authentication key of a link: a file carried to both ends by hand, imported once, then destroyed.

    frame(kind 0x50, {"block_id", "created_utc_s", "ends": [transmitter, receiver], "link_id", "num_bits"}, key bytes)

A key manager takes it into its store (``take_initial_key``) and leaves a mark that it has; the file is destroyed when
every end that reads this copy has: where one folder serves both ends (all nodes on one machine) that is the last of
them. Whose private key is in a folder of certificates reads there. From then on the only copy is in the stores: a data
folder that is wiped does not lead back to pads that were spent, and the link needs a fresh file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from qanat.adapters.private_files import destroy_private, read_private, write_private
from qanat.ground.bits import whole_bytes
from qanat.ground.errors import ConfigurationError, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import MAX_FRAME_BYTES, MAX_HEADER_BYTES, decode_frame, encode_frame
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId, uuid4_from
from qanat.ground.keys import PRE_SHARED, KeyBlock, SecretBytes
from qanat.ground.network import Link
from qanat.ground.ports import Entropy, KeyStore

INITIAL_KEY_FRAME = 0x50
MAX_INITIAL_KEY_BITS = 8 * (MAX_FRAME_BYTES - MAX_HEADER_BYTES) // 1024 * 1024


def initial_key_path(folder: Path, link_id: LinkId) -> Path:
    """Return where a PKI folder keeps the initial key of a link."""
    return folder / "links" / f"{link_id}.auth"


def write_initial_key(path: Path, link: Link, *, num_bits: int, entropy: Entropy, utc_s: float) -> None:
    """Make a link's initial key and write it, mode 0600; raises ConfigurationError when it would be too large."""
    if num_bits > MAX_INITIAL_KEY_BITS:
        raise ConfigurationError(
            f"the initial key of link {link.name!r} would have {num_bits} bits, more than {MAX_INITIAL_KEY_BITS}",
            remedy="ask for fewer days of reserve; the link refills its reserve as it works",
        )
    secret = entropy.secret_bytes(whole_bytes(num_bits))
    header: dict[str, Json] = {
        "block_id": uuid4_from(entropy.public_bytes(16)),
        "created_utc_s": float(utc_s),
        "ends": list(link.ends),
        "link_id": link.link_id,
        "num_bits": num_bits,
    }
    write_private(path, encode_frame(INITIAL_KEY_FRAME, header, secret.take()))


def read_initial_key(path: Path, local: NodeId) -> KeyBlock:
    """Return a link's initial key as its end at ``local`` imports it: pre-shared, all of it reserve.

    Its epsilons are zero: it was drawn, not distilled. Its origin says "twin", so that it never makes a stock look
    better than it is. Raises ConfigurationError for a file that is missing, readable by others, no initial key, or of
    a link that does not end here.
    """
    try:
        frame = decode_frame(read_private(path))
    except FrameError as fault:
        raise _no_initial_key(path, fault.message) from None
    match dict(frame.header):
        case {
            "block_id": str(block_id),
            "created_utc_s": float(created_utc_s),
            "ends": [str(one), str(other)],
            "link_id": str(link_id),
            "num_bits": int(num_bits),
        } if frame.kind == INITIAL_KEY_FRAME and num_bits == 8 * len(frame.body) > 0:
            pass
        case _:
            raise _no_initial_key(path, "its header does not fit")
    if local not in (one, other):
        raise ConfigurationError(
            f"{path} is for link {link_id!r} of {one} and {other}; {local} is at neither end",
            remedy="give this node the files of its own links",
        )
    return KeyBlock(
        block_id=BlockId(block_id),
        order_id=OrderId(PRE_SHARED),
        link_id=LinkId(link_id),
        local=local,
        peer=NodeId(other if local == one else one),
        origin="twin",
        protocol=PRE_SHARED,
        num_bits=num_bits,
        bits=SecretBytes(frame.body),
        eps_sec=0.0,
        eps_cor=0.0,
        finished_utc_s=created_utc_s,
    )


async def take_initial_key(folder: Path, link: Link, node: NodeId, store: KeyStore) -> None:
    """Take a link's initial key, if one is there that was not taken yet, into the store of its end at ``node``.

    Raises what ``read_initial_key`` and the store raise. Repeatable after a crash at any point: the store knows the
    block's id for ever, and a key that was marked as taken is not read again, not even into a store that is new.
    """
    path = initial_key_path(folder, link.link_id)
    if not path.exists():
        return
    block = await asyncio.to_thread(read_initial_key, path, node)
    block_id = block.block_id
    if not _has_taken(folder, link, node, block_id):
        await store.add_block(block)
        await store.confirm(block_id)
        await asyncio.to_thread(_leave_mark, _mark(folder, link, node), block_id)
    block.bits.wipe()
    readers = [end for end in link.ends if (folder / "nodes" / f"{end}.key").is_file()]
    if all(_has_taken(folder, link, end, block_id) for end in readers):
        await asyncio.to_thread(consume_initial_key, path)


async def take_initial_keys(folder: Path, links: Sequence[Link], node: NodeId, store: KeyStore) -> None:
    """Do so for all these links at once, each as ``take_initial_key`` does; disks take many files as fast as few.
    Raises what the first of them raises, when all have ended."""
    there = [link for link in links if initial_key_path(folder, link.link_id).exists()]
    if not there:
        return  # at once: whoever is woken is waited for
    ends = [take_initial_key(folder, link, node, store) for link in there]
    faults = await asyncio.gather(*ends, return_exceptions=True)
    for fault in faults:
        if fault is not None:
            raise fault


def _leave_mark(mark: Path, block_id: BlockId) -> None:
    destroy_private(mark)  # of an earlier key of this link
    write_private(mark, block_id.encode())


def _mark(folder: Path, link: Link, node: NodeId) -> Path:
    return folder / "links" / f"{link.link_id}.taken" / node


def _has_taken(folder: Path, link: Link, node: NodeId, block_id: BlockId) -> bool:
    mark = _mark(folder, link, node)
    return mark.is_file() and mark.read_text(encoding="utf-8") == block_id


def consume_initial_key(path: Path) -> None:
    """Overwrite and remove the file: every end that reads it has its key durable. Idempotent."""
    destroy_private(path)


def made_mark(folder: Path, link_id: LinkId) -> Path:
    """Return the file that says when a link's initial key was made: none is made again while it is there."""
    return folder / "links" / f"{link_id}.made"


def forget_initial_key(folder: Path, link_id: LinkId) -> None:
    """Destroy what nobody has taken in of a link's initial key, so that the next ``create_pki`` makes another."""
    destroy_private(initial_key_path(folder, link_id))
    made_mark(folder, link_id).unlink(missing_ok=True)


def _no_initial_key(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{path} is no initial key: {reason}", remedy="make one with `qanat pki`")
