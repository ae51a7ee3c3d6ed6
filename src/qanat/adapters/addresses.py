"""Where the processes of one network on one machine listen: a small file per listener in the data folder.

    <folder>/<kind>/<name>.json    {"host": "127.0.0.1", "port": 40123}

A file appears whole or not at all, and is removed at a clean stop. One that a killed process left behind says where
nobody listens, or somebody else does: who is reached there proves its name by its certificate, so that a stale file
only means "not reachable yet".
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Literal, TypeAlias

ListenerKind: TypeAlias = Literal["transports", "modules", "doors", "twins", "devices", "services"]
Address: TypeAlias = tuple[str, int]
MAX_PORT = 65_535


class AddressBook:
    """The addresses in one folder, read anew at each question."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def publish(self, kind: ListenerKind, name: str, address: Address) -> None:
        """Say where the listener of this kind and name (of a node, or a link) is, in place of what was said before."""
        host, port = address
        path = self._path(kind, name)
        for folder in (self._folder, path.parent):
            folder.mkdir(exist_ok=True, mode=0o700)
        write_whole(path, json.dumps({"host": host, "port": port}) + "\n")

    def withdraw(self, kind: ListenerKind, name: str) -> None:
        """Say that it listens no more; idempotent."""
        self._path(kind, name).unlink(missing_ok=True)

    def find(self, kind: ListenerKind, name: str) -> Address | None:
        """Return where a listener was last said to be; None when nothing, or nothing readable, was said."""
        try:
            said = json.loads(self._path(kind, name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        match said:
            case {"host": str(host), "port": int(port)} if 0 < port <= MAX_PORT:
                return host, port
        return None

    def _path(self, kind: ListenerKind, name: str) -> Path:
        return self._folder / kind / f"{name}.json"


def write_whole(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step: a reader finds the old text or the new one, never a part."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        partial.rename(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
