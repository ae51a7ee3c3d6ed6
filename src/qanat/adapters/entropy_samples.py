"""Raw samples of a physical generator, from a device, a FIFO or a recording, one byte each.

A device and a FIFO give every sample once by themselves. A recording does not: read twice, it would give the same keys
twice. So how far it has been used is written beside it, in ``NAME.used``, before the samples are; the next run goes on
there. What a killed process had set aside is lost, never used again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import select
import stat
import termios
from pathlib import Path
from typing import Final, Protocol

from qanat.adapters.machine_faults import machine_fault
from qanat.ground.errors import ConfigurationError

SILENCE_S: Final = 60.0
"""A generator that gives no sample for so long has failed."""
SET_ASIDE: Final = 4 * 2**20
"""Samples of a recording that are marked as used at a time, ahead of their use: each mark waits for the disk."""
FINGERPRINT_SAMPLES: Final = 1024
"""The first samples of a recording, by which it is known again. The start-up tests take them: no key comes of them."""
FORMAT: Final = "qanat-samples-used/1"


class Samples(Protocol):
    """Where raw samples come from."""

    def read(self, num_samples: int, /) -> bytes:
        """Return some samples, at most so many; none at the end. Raises OSError, TimeoutError after SILENCE_S."""
        ...

    def close(self) -> None:
        """Let the source go. Idempotent."""


def check_source(path: Path) -> None:
    """Raise ConfigurationError when samples should not be taken from ``path``."""
    try:
        mode = path.stat().st_mode
    except OSError as fault:
        raise _unreadable(path, fault) from None
    if stat.S_ISREG(mode) and mode & 0o077:
        raise ConfigurationError(
            f"other users can read the entropy source {path}, and so know its keys", remedy=f"chmod 600 {path}"
        )
    if stat.S_ISFIFO(mode) and mode & 0o022:
        raise ConfigurationError(
            f"other users can write into the entropy source {path}, and so choose its keys", remedy=f"chmod 600 {path}"
        )
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        raise ConfigurationError(
            f"{path} cannot be an entropy source", remedy="name a character device, a FIFO or a file of raw samples"
        )


def open_samples(path: Path) -> Samples:
    """Open a source; waits for whoever is to write into a FIFO. Raises ConfigurationError."""
    check_source(path)
    return Recording(path) if path.is_file() else Stream(path)


class Stream:
    """Samples of a device or FIFO."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as fault:
            raise _unreadable(path, fault) from None
        if _is_line_by_line(self._file.fileno()):
            self.close()
            raise ConfigurationError(
                f"the line {path} alters what it carries: it is set for people, not for samples",
                remedy=f"stty -F {path} raw -echo",
            )
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLIN)

    def read(self, num_samples: int, /) -> bytes:
        if not self._poll.poll(1000 * SILENCE_S):
            raise TimeoutError(f"no sample came for {SILENCE_S:g} s")
        return self._file.read(num_samples) or b""

    def close(self) -> None:
        self._file.close()


class Recording:
    """Samples of a file, each once, whatever crashes. One process at a time; raises ConfigurationError."""

    def __init__(self, path: Path) -> None:
        note = path.with_name(path.name + ".used")
        self._fingerprint = ""
        self._used = self._marked = 0
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as fault:
            raise _unreadable(path, fault) from None
        try:
            self._note = os.open(note, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as fault:
            self._file.close()
            raise machine_fault(fault, path=note, elsewhere="copy the samples to where notes can be kept") from None
        try:
            self._begin(path, note)
        except BaseException:
            self.close()
            raise

    def read(self, num_samples: int, /) -> bytes:
        if self._used == self._marked:
            self._mark(min(self._used + SET_ASIDE, os.fstat(self._file.fileno()).st_size))
        part = self._file.read(min(num_samples, self._marked - self._used)) or b""
        self._used += len(part)
        return part

    def close(self) -> None:
        if self._file.closed:
            return
        if self._marked > self._used:
            self._mark(self._used)  # what was set aside and not read is for the next run
        self._file.close()
        os.close(self._note)

    # --- inside ---

    def _begin(self, path: Path, note: Path) -> None:
        try:
            fcntl.flock(self._note, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another process takes samples from {path}", remedy="stop it first, or name another source"
            ) from None
        self._fingerprint = hashlib.sha256(self._file.read(FINGERPRINT_SAMPLES) or b"").hexdigest()
        self._used = self._marked = self._read_note(path, note)
        size = self._file.seek(0, os.SEEK_END)
        if self._used and self._used >= size:
            raise ConfigurationError(
                f"all {size:,} samples of {path} are used; used twice they would give the same keys twice",
                remedy="record new samples into another file",
            )
        self._file.seek(self._used)

    def _read_note(self, path: Path, note: Path) -> int:
        text = os.pread(self._note, 4096, 0)
        if not text:
            return 0
        try:
            record = json.loads(text)
            fingerprint, used = str(record["first_samples_sha256"]), int(record["samples_used"])
            is_ours = record["format"] == FORMAT and used >= 0
        except (ValueError, KeyError, TypeError):
            is_ours, fingerprint, used = False, "", 0
        if not is_ours or fingerprint != self._fingerprint:
            raise ConfigurationError(
                f"{note} tells of the use of another recording than {path}",
                remedy=f"give new samples a name of their own; remove {note} only if none of these was ever used",
            )
        return used

    def _mark(self, used: int) -> None:
        """Write down, for good, that samples before ``used`` are used."""
        if used == self._marked:
            return
        record = {"format": FORMAT, "first_samples_sha256": self._fingerprint, "samples_used": used}
        data = json.dumps(record).encode().ljust(256) + b"\n"  # one length: a torn write leaves no longer number behind
        os.pwrite(self._note, data, 0)
        os.fsync(self._note)
        self._marked = used


def _is_line_by_line(descriptor: int) -> bool:
    """Return whether a terminal line hands over edited lines, as for people, in place of bytes as they come."""
    if not os.isatty(descriptor):
        return False
    local_modes: int = termios.tcgetattr(descriptor)[3]
    return bool(local_modes & termios.ICANON)


def _unreadable(path: Path, fault: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read the entropy source {path}: {fault.strerror}",
        remedy="name a device, FIFO or file that this user can read",
    )
