"""The audit log's chain: how a line is written, and how a folder of lines is checked.

A line is one JSON object, ``{"n":N,"prev":"...", ... ,"sha256":"..."}``. ``prev`` is the SHA-256 of the line before
(64 zeros before the first one); ``sha256`` is that of this line's own bytes up to its last field. So the checker
hashes what stands in the file and compares; no second spelling of a line can pass. Lines are numbered from 1 over all
files of a folder (``audit-000001.jsonl`` and so on). ``head.json`` says how many lines were safe on disk when it was
written, and the hash of the last of them.

The chain shows a line that was altered, removed, moved or put in. It has no secret: whoever may write the folder can
write a whole new chain and head. A head that was noted elsewhere (``Head.text``) shows that too.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qanat.ground.errors import ConfigurationError

FIRST_PREV = "0" * 64
HEAD_NAME = "head.json"
TORN, TAIL_MISSING, LINES_LOST, FILE_BEGUN = "torn-line", "tail-missing", "lines-lost", "file-begun"
"""Kinds of the log's own lines; all others are kinds of events."""
HASHED_AT_ONCE_BYTES = 2047
_SEAL = re.compile(rb',"sha256":"([0-9a-f]{64})"}\Z')
_FILE = re.compile(r"audit-(\d{6})\.jsonl")


@dataclass(frozen=True, slots=True)
class Head:
    """The number and the hash of a line: what must stand in every later state of the log."""

    count: int
    sha256: str

    @property
    def text(self) -> str:
        """Return it as people note it: ``17:2f0c...``."""
        return f"{self.count}:{self.sha256}"

    @classmethod
    def of_text(cls, text: str) -> Head:
        """Read what ``text`` says; raises ConfigurationError."""
        found = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text.strip())
        if found is None:
            raise ConfigurationError(
                f"{text!r} is no head of an audit log", remedy="give NUMBER:SHA256, as `qanat audit verify` prints it"
            )
        return cls(int(found[1]), found[2])


START = Head(0, FIRST_PREV)


@dataclass(frozen=True, slots=True)
class BadLine:
    """The first thing that does not hold: ``line`` counts within ``file`` from 1, 0 for the file as a whole."""

    file: str
    line: int
    why: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. ``bad`` is None when all held; ``first`` is the number of the first line that is there."""

    first: int
    head: Head
    num_files: int
    num_torn: int
    num_lost: int
    bad: BadLine | None


def sealed_line(fields: str, previous: Head) -> tuple[bytes, Head]:
    """Return the next line, its end of line included, and the head that it makes. ``fields``: JSON, without braces."""
    number = previous.count + 1
    body = f'{{"n":{number},"prev":"{previous.sha256}",{fields}'.encode()
    digest = _sha256(body)
    return b'%b,"sha256":"%b"}\n' % (body, digest.encode()), Head(number, digest)


def _sha256(body: bytes) -> str:
    """Return the hash in hexadecimal. Python lets other threads run while it hashes 2048 bytes or more, and a busy door
    would wait for its turn for longer than the hash takes; so long lines are fed piece by piece."""
    hashed = hashlib.sha256()
    for at in range(0, len(body), HASHED_AT_ONCE_BYTES):
        hashed.update(body[at : at + HASHED_AT_ONCE_BYTES])
    return hashed.hexdigest()


def opened_line(line: bytes) -> tuple[dict[str, object], str]:
    """Return a line's fields and its hash. Raises ValueError, in words, for one whose seal does not hold."""
    seal = _SEAL.search(line)
    if seal is None:
        raise ValueError("is no sealed line")
    if hashlib.sha256(line[: seal.start()]).hexdigest().encode() != seal[1]:
        raise ValueError("was altered: its hash does not fit its text")
    try:
        fields = json.loads(line)
    except ValueError:
        raise ValueError("is no JSON") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("n"), int):
        raise ValueError("has no number")
    return fields, seal[1].decode()


def audit_files(folder: Path) -> list[Path]:
    """Return the files of a log in their order. Raises ConfigurationError when there are none."""
    found = sorted(path for path in folder.glob("audit-*.jsonl") if _FILE.fullmatch(path.name))
    if not found:
        raise ConfigurationError(
            f"{folder} holds no audit log", remedy="name a site's audit folder: DATA/SITE/audit, or DATA/SITE, or DATA"
        )
    return found


def file_name(number: int) -> str:
    return f"audit-{number:06d}.jsonl"


def file_number(path: Path) -> int:
    return int(path.stem.removeprefix("audit-"))


def read_head(folder: Path) -> Head | None:
    """Return what ``head.json`` says; None when it is not there. Raises ValueError when it cannot be read as one."""
    try:
        fields = json.loads((folder / HEAD_NAME).read_bytes())
        return Head(int(fields["count"]), str(fields["sha256"]))
    except FileNotFoundError:
        return None
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{HEAD_NAME} is no head of a log") from None


def verify(folder: Path, *, expected: Head | None = None, is_part: bool = False) -> Finding:
    """Check a folder: every line, the order of the files, and that nothing is missing at the end.

    expected: a head that was noted before; its line must stand there. is_part: older files were put elsewhere, so the
    first line need not be number 1. Raises ConfigurationError without a log, or when a file cannot be read.
    """
    files = audit_files(folder)
    walk = _Walk(is_part=is_part, expected=expected)
    for path in files:
        if (bad := _check_file(path, walk)) is not None:
            return walk.finding(len(files), bad)
    return walk.finding(len(files), _check_end(folder, files[-1], walk))


def records(folder: Path) -> Iterator[dict[str, object]]:
    """Yield the fields of every whole line, unchecked; torn lines are passed over."""
    for path in audit_files(folder):
        with path.open("rb") as file:
            for line in file:
                try:
                    fields = json.loads(line)
                except ValueError:
                    continue
                if isinstance(fields, dict):
                    yield fields


class _Walk:
    """How far a check has come."""

    def __init__(self, *, is_part: bool, expected: Head | None) -> None:
        self.head = START
        self.first = 0
        self.num_torn = 0
        self.num_lost = 0
        self.torn = b""
        self.file_number: int | None = None
        self.is_part = is_part
        self.expected = expected

    def finding(self, num_files: int, bad: BadLine | None) -> Finding:
        return Finding(self.first, self.head, num_files, self.num_torn, self.num_lost, bad)

    def why_wrong(self, line: bytes, *, stored: Head | None) -> str | None:
        """Take the next line; return what is wrong with it, None when nothing is."""
        try:
            fields, digest = opened_line(line.rstrip(b"\n"))
        except ValueError as fault:
            if _SEAL.search(line.rstrip(b"\n")) is None:
                self.torn += line  # the next whole line must say so
                return None
            return str(fault)
        return self._why_unlinked(fields, Head(int(str(fields["n"])), digest), stored)

    def _why_unlinked(self, fields: dict[str, object], here: Head, stored: Head | None) -> str | None:
        if self.first == 0 and self.is_part:
            self.head = Head(here.count - 1, str(fields.get("prev")))
        if here.count != self.head.count + 1:
            return f"is number {here.count} where {self.head.count + 1} belongs: lines were removed, moved or put in"
        if fields.get("prev") != self.head.sha256:
            return "does not continue the line before it"
        if (why := self._why_odd(fields)) is not None:
            return why
        for known, name in ((stored, HEAD_NAME), (self.expected, "the head that you gave")):
            if known is not None and known.count == here.count and known.sha256 != here.sha256:
                return f"is not the line that {name} names: the log was written anew"
        self.first = self.first or here.count
        self.head = here
        return None

    def _why_odd(self, fields: dict[str, object]) -> str | None:
        """Look at the log's own lines."""
        data = fields.get("data")
        told = data if isinstance(data, dict) else {}
        torn, self.torn = self.torn, b""
        if torn:
            if fields.get("kind") != TORN or told.get("sha256") != hashlib.sha256(torn).hexdigest():
                return "follows a line that is broken, and does not say so: it was altered"
            self.num_torn += 1
        if fields.get("kind") == TAIL_MISSING:
            return f"says that at a start {told.get('missing')} lines were missing that had been safe on disk"
        if fields.get("kind") == LINES_LOST:
            self.num_lost += int(told.get("number", 0))
        return None


def _check_file(path: Path, walk: _Walk) -> BadLine | None:
    number = file_number(path)
    if walk.file_number is None:
        if number != 1 and not walk.is_part:
            return BadLine(path.name, 0, "is the first file here: older ones were removed (--part when you did it)")
    elif number != walk.file_number + 1:
        return BadLine(path.name, 0, f"follows file {walk.file_number}: one between them was removed")
    walk.file_number = number
    stored = _stored(path.parent)
    try:
        with path.open("rb") as file:
            for count, line in enumerate(file, start=1):
                if (why := walk.why_wrong(line, stored=stored)) is not None:
                    return BadLine(path.name, count, why)
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault.strerror}", remedy="check its owner and mode") from None
    return None


def _stored(folder: Path) -> Head | None:
    try:
        return read_head(folder)
    except ValueError:
        return None  # told at the end of the check


def _check_end(folder: Path, last: Path, walk: _Walk) -> BadLine | None:
    """Look whether the log is as long as is known of it. A torn last line alone is no fault: the next start says so."""
    try:
        stored = read_head(folder)
    except ValueError as fault:
        return BadLine(HEAD_NAME, 0, str(fault))
    if stored is None:
        return BadLine(HEAD_NAME, 0, "is not there, so nothing says how long the log was")
    walk.num_torn += bool(walk.torn)
    for known, name in ((stored, HEAD_NAME), (walk.expected, "the head that you gave")):
        if known is not None and known.count > walk.head.count:
            missing = known.count - walk.head.count
            return BadLine(last.name, 0, f"ends {missing} lines before the one that {name} names: its tail was cut off")
        if known is not None and walk.first > known.count > 0:
            return BadLine(last.name, 0, f"begins after the line that {name} names")
    return None
