"""The pages of two parties: what they show runs, and its bytes are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from qanat.apps.distil.terms import Word
from qanat.ground.framing import encode_frame
from qanat.ground.lanes import encode_lane
from qanat.ground.numbered import NumberedLine

DOCS = Path(__file__).parents[2] / "docs"
LINE_PAGE = (DOCS / "formats" / "resuming-line.md").read_text(encoding="utf-8")


def example_bytes() -> list[bytes]:
    """Return the bytes of the examples: the lines that are pairs of hexadecimal digits."""
    return [bytes.fromhex(line) for line in re.findall(r"^    ((?:[0-9a-f]{2} +)+[0-9a-f]{2})$", LINE_PAGE, re.M)]


def test_the_example_of_a_line_is_what_a_line_says() -> None:
    alice, bob = NumberedLine("0" * 32), NumberedLine("0" * 32)
    for number in range(3):
        alice.keep(b"frame")
        bob.hear(alice.data(number) or b"")
        bob.take()
    acknowledgement, *lane = example_bytes()
    assert bob.acknowledgement() == acknowledgement
    assert encode_lane(2, encode_frame(Word.NEXT, {"first": 0})) == b"".join(lane)


def test_the_reader_of_a_line_runs() -> None:
    (text,) = re.findall(r"```python\n(.*?)```", LINE_PAGE, re.S)
    alice = NumberedLine("0" * 32)
    alice.keep(b"".join(example_bytes()[1:]))
    stream = alice.greeting() + (alice.data(0) or b"")
    done = subprocess.run([sys.executable, "-c", text], input=stream, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert [line.split()[0] for line in done.stdout.decode().splitlines()] == ["70", "71", "74", "79"]


@pytest.mark.campaign
def test_the_sessions_of_the_how_to_run(tmp_path: Path) -> None:
    page = (DOCS / "how-to-distil-your-own-clicks.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```python\n(.*?)```", page, re.S)
    done = subprocess.run([sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("True ")
