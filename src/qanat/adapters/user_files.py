"""What a user's services read of this machine: the record of a network that is up, and directory files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qanat.adapters.durable_files import write_durably
from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import ConfigurationError

SERVICE_FILE = "service.json"
DIRECTORY_FILE = "directory.toml"


def read_service_record(data: Path) -> Mapping[str, Any]:
    """Return what a running ``qanat up`` says of itself in its data folder; nothing where none runs.

    Raises ConfigurationError when the file is no such record.
    """
    path = data / SERVICE_FILE
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        return {}
    except ValueError:
        raise ConfigurationError(f"{path} is no record of a service", remedy="start `qanat up` again") from None


def read_directory_file(path: Path) -> str:
    """Return a directory file's text; raises MachineFault, and ConfigurationError when it is no text."""
    with machine_faults_named(path, elsewhere="name another file with --directory"):
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(f"{path} is no text in UTF-8", remedy="write it anew") from None


def write_directory_file(path: Path, text: str) -> None:
    """Write a directory file in one step, durably; raises MachineFault."""
    with machine_faults_named(path, elsewhere="name another file with --directory"):
        write_durably(path, text)


def directory_file_in(data: Path) -> Path | None:
    """Return the directory file of a data folder, where there is one."""
    path = data / DIRECTORY_FILE
    return path if path.exists() else None
