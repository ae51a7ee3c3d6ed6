"""What the machine refuses, said as every other fault is: which file, why, and what the reader can do about it."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qanat.ground.errors import ConfigurationError

ELSEWHERE = "name another place"
_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "make room on its disk, or {elsewhere}",
    errno.EDQUOT: "make room within this user's quota, or {elsewhere}",
    errno.EFBIG: "raise this user's limit on the size of files (ulimit -f), or {elsewhere}",
    errno.EACCES: "let this user read and write there, or {elsewhere}",
    errno.EPERM: "let this user read and write there, or {elsewhere}",
    errno.EROFS: "this file system takes no writing: {elsewhere}",
    errno.ENOENT: "see that the name is right and its folder there, or {elsewhere}",
    errno.ENOTDIR: "a part of this path is a file and no folder: {elsewhere}",
    errno.EISDIR: "this is a folder where a file is needed: {elsewhere}",
    errno.EEXIST: "something of that name is in the way: remove it, or {elsewhere}",
    errno.ENAMETOOLONG: "take a shorter name",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "close other programs: the whole machine has too many files open",
    errno.ENOMEM: "close other programs, or take a machine with more memory",
    errno.EIO: "look for faults of the disk in the system's log, and {elsewhere}",
    errno.EPIPE: "keep whatever reads the output open until the end",
}


class MachineFault(ConfigurationError):
    """The machine did not let this program read, write or start what it was told to use."""


def machine_fault(fault: OSError, *, path: Path | None = None, elsewhere: str = ELSEWHERE) -> MachineFault:
    """Return a failure of the operating system with the file it was about and a remedy.

    ``path`` is what the reader knows the file by; without it, the one that the system names. ``elsewhere`` is how the
    reader can name another one.
    """
    what = str(path) if path is not None else str(fault.filename or "")
    why = fault.strerror or str(fault)
    remedy = _REMEDIES.get(fault.errno or 0, "look for the reason in the system's log, or {elsewhere}")
    return MachineFault(f"{what}: {why}" if what else why, remedy=remedy.format(elsewhere=elsewhere))


def not_listening(host: str, port: int, fault: OSError, *, option: str = "") -> ConfigurationError:
    """Return why nobody can listen there: the port is taken or is not for this user, or the address is another's.
    ``option``: how the reader names another port."""
    remedy = _LISTENING.get(fault.errno or 0, f"choose another port than {port}, or 0 for any")
    if option:
        remedy += f"; {option}"
    return ConfigurationError(f"cannot listen on {host}:{port}: {fault.strerror or fault}", remedy=remedy)


_LISTENING: Final = {
    errno.EADDRINUSE: "choose a free port, or 0 for any, or end the program that has this one",
    errno.EADDRNOTAVAIL: "name an address of this machine, or 0.0.0.0 for all that it has",
    errno.EACCES: "choose a port from 1024 on, or 0 for any",
}


@contextmanager
def machine_faults_named(path: Path, *, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Raise MachineFault about ``path`` for every failure of the operating system inside."""
    try:
        yield
    except OSError as fault:
        raise machine_fault(fault, path=path, elsewhere=elsewhere) from None
