"""Looks for known key bytes where none may be: in files, and in the memory of a process."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Leak:
    """Where a key was found, how it was spelled, and which one (its place in the list that was given)."""

    where: str
    spelling: str
    number: int


def spellings(key: bytes) -> Mapping[str, bytes]:
    """Return a key as a careless program might write it. Base64 is without its padding, so any end of it fits; at
    the two other alignments within a longer text, the middle of it."""
    found = {
        "raw": key,
        "reversed": key[::-1],
        "hex": key.hex().encode(),
        "HEX": key.hex().upper().encode(),
        "hex with colons": key.hex(":").encode(),
        "repr": repr(key)[2:-1].encode(),
        "list of numbers": str(list(key))[1:-1].encode(),
        "tight list of numbers": ",".join(map(str, key)).encode(),
        "JSON escapes": "".join(f"\\u00{byte:02x}" for byte in key).encode(),
    }
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + key).rstrip(b"=")
        middle = text[(0, 2, 3)[shift] : len(text) - 1]
        found[f"base64 at {shift}"] = middle
        found[f"URL-safe base64 at {shift}"] = middle.translate(bytes.maketrans(b"+/", b"-_"))
    return found


def patterns(keys: Sequence[bytes]) -> list[tuple[int, str, bytes]]:
    return [(number, name, text) for number, key in enumerate(keys) for name, text in spellings(key).items()]


def scan_files(folders: Sequence[Path], keys: Sequence[bytes]) -> list[Leak]:
    """Return every key found in any file under ``folders``, names of files included."""
    wanted = patterns(keys)
    found = []
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            data = path.name.encode() + b"\n" + (path.read_bytes() if path.is_file() else b"")
            found += [Leak(str(path), name, number) for number, name, text in wanted if text in data]
    return found


def scan_memory(pid: int, keys: Sequence[bytes]) -> list[Leak]:
    """Return every key found in the memory that a process can write to. Raises PermissionError where the system
    forbids to look."""
    wanted = patterns(keys)
    longest = max(len(text) for _, _, text in wanted)
    found = []
    for where, data in _memory(pid, overlap=longest):
        found += [Leak(where, name, number) for number, name, text in wanted if text in data]
    return found


def _memory(pid: int, *, overlap: int) -> Iterator[tuple[str, bytes]]:
    regions = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in regions:
            bounds, mode, *_ = line.split()
            if not mode.startswith("rw") or "[v" in line:
                continue
            start, end = (int(part, 16) for part in bounds.split("-"))
            for place in range(start, end, CHUNK_BYTES):
                try:
                    memory.seek(place)
                    yield f"{place:x}", memory.read(min(CHUNK_BYTES + overlap, end - place))
                except OSError:  # a guard page, or gone meanwhile
                    break
