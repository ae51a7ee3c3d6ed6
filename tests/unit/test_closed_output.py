"""What `qanat receive` does where nobody reads one of its two outputs any more: the other one is told all the same."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qanat.apps.cli.outputs import ClosedOutput
from qanat.apps.cli.services import _told
from qanat.services.file_delivery import ArrivedFile
from service_support import House, sae_of

OUTPUTS = ("stdout", "stderr")


@contextmanager
def pipe_as(output: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put a pipe in an output's place; its reading end, which the caller closes."""
    reading, writing = os.pipe()
    with monkeypatch.context() as patch, os.fdopen(writing, "w", encoding="utf-8", buffering=1) as stream:
        patch.setattr(sys, output, stream)
        yield reading


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("closed_one", OUTPUTS)
def test_who_reads_the_other_output_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_one: str) -> None:
    stop, file = asyncio.Event(), ArrivedFile("film.bin", 5, 5, "", sae_of("alice"))
    closed = ClosedOutput(stop)
    on_file = closed.watched(_told(House(tmp_path).user("bob").people, True, None).on_file)
    other = OUTPUTS[closed_one == "stdout"]
    with pipe_as(other, monkeypatch) as reading, pipe_as(closed_one, monkeypatch) as unread:
        os.close(unread)
        num_open = open_files()
        for _ in range(2):
            on_file(file)
        assert open_files() == num_open
        assert stop.is_set()
        assert closed.is_closed
    with os.fdopen(reading, encoding="utf-8") as told:
        lines = told.read().splitlines()
    assert len(lines) == 2
    if other == "stdout":
        assert [json.loads(line)["file"]["name"] for line in lines] == ["film.bin"] * 2
    else:
        assert lines == ["alice sent film.bin, 5 bytes"] * 2


def test_another_fault_of_an_output_is_not_taken_for_it() -> None:
    fault = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space") as raised:
        ClosedOutput(asyncio.Event()).found(fault)
    assert raised.value is fault
