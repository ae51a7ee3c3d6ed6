"""Whether any of many secrets stands in a long text, in whatever spelling.

Each place of the text is looked up by its first two bytes in a table of those that some spelling begins with, then by
its first eight; what is left is compared whole. So a text is gone through once, not once for each secret.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

HEAD_BYTES: Final = 8


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """Return a secret as it may be written: as it is, in hexadecimal, in base64 (whole groups of three bytes)."""
    return secret, secret.hex().encode(), base64.b64encode(secret[: len(secret) // 3 * 3])


def found_in(text: bytes, secrets: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the spellings of secrets that stand in a text, each once; raises ValueError for a secret of fewer than
    ``HEAD_BYTES`` bytes."""
    by_head: dict[int, list[bytes]] = {}
    for secret in secrets:
        if len(secret) < HEAD_BYTES:
            raise ValueError(f"{len(secret)} bytes may stand anywhere by chance; give secrets of {HEAD_BYTES} or more")
        for spelled in spellings(secret):
            by_head.setdefault(int.from_bytes(spelled[:HEAD_BYTES], "little"), []).append(spelled)
    if len(text) < HEAD_BYTES or not by_head:
        return
    heads = np.fromiter(by_head, dtype=np.uint64, count=len(by_head))
    begins = np.zeros(2**16, dtype=bool)
    begins[(heads & np.uint64(0xFFFF)).astype(np.intp)] = True
    letters = np.frombuffer(text, dtype=np.uint8)
    pairs = letters[:-1].astype(np.uint16) | letters[1:].astype(np.uint16) << np.uint16(8)
    places = np.flatnonzero(begins[pairs[: len(text) - HEAD_BYTES + 1]])
    windows = np.lib.stride_tricks.sliding_window_view(letters, HEAD_BYTES)[places]
    words = np.ascontiguousarray(windows).view("<u8").ravel()
    told = set[bytes]()
    for place in places[np.isin(words, heads)].tolist():
        head = int.from_bytes(text[place : place + HEAD_BYTES], "little")
        told.update(spelled for spelled in by_head[head] if text.startswith(spelled, place))
    yield from sorted(told)
