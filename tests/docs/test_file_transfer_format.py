"""The page on the file transfer's format: its reader reads what we send, its table names our frame kinds."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from qanat.services.file import FileSettings, SentFile
from qanat.services.transfer_frames import TransferKind
from unit.file_service_fakes import Ends, pieces_of

PAGE = (Path(__file__).parents[2] / "docs" / "formats" / "file-transfer.md").read_text(encoding="utf-8")


def documented_reader() -> Callable[[list[bytes], dict[str, bytes]], bytes]:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(source, "file-transfer.md", "exec"), names)
    return names["read_transfer"]  # type: ignore[return-value]


def recorded(data: bytes) -> tuple[list[bytes], dict[str, bytes]]:
    ends = Ends(settings=FileSettings(chunk_bytes=1000, keys_per_request=4))
    ends.left.sent = []
    waiting: dict[str, bytes] = {}

    def note_keys(_: int, frame: bytes) -> list[bytes]:
        waiting.update({key_id: key for key_id, (_, key) in ends.stock.waiting.items()})
        return [frame]

    ends.left.tamper = note_keys
    sent, _ = asyncio.run(ends.transfer(pieces_of(data), size_bytes=len(data)))
    assert isinstance(sent, SentFile)
    return ends.left.sent, waiting


@pytest.mark.parametrize("size_bytes", [0, 5, 1000, 9001])
def test_the_documented_reader_reads_what_we_send(size_bytes: int) -> None:
    data = random.Random(size_bytes).randbytes(size_bytes)
    frames, keys = recorded(data)
    assert documented_reader()(frames, keys) == data


def test_the_documented_reader_refuses_what_was_altered_or_cut() -> None:
    frames, keys = recorded(bytes(3500))
    read = documented_reader()
    with pytest.raises(ValueError, match="the end is missing"):
        read(frames[:-1], keys)
    altered = frames[-1][:-1] + bytes([frames[-1][-1] ^ 1])
    with pytest.raises(InvalidTag):
        read([*frames[:-1], altered], keys)


def test_the_table_names_every_frame_kind() -> None:
    rows = re.findall(r"^\| ([A-Z]+) \| (0x[0-9a-f]{2}) \|", PAGE, flags=re.MULTILINE)
    assert rows == [(kind.name, hex(kind)) for kind in TransferKind]
