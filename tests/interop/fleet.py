"""The processes of a network that stand for themselves, for tests that kill them one by one."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qanat.adapters.tls import TlsFiles
from qanat.client import Client
from qanat.ground.identifiers import SaeId

START_S = 240.0
"""The first twin of a machine compiles its kernels."""
QANAT = (sys.executable, "-m", "qanat.apps.cli.main")


def free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Fleet:
    """Processes by name, each started by its own command; ``records`` is what each said of itself when it was up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commands: dict[str, Sequence[str]] = {}
        self.programs: dict[str, Sequence[str]] = {}
        """What runs a process's command, where that is not ``QANAT``."""
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.records: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(timeout=START_S / 4)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        if kind is None:
            ended = {name: process.returncode for name, process in self.processes.items()}
            assert ended == dict.fromkeys(ended, 0), "whoever is told to stop goes down cleanly"

    def add(self, name: str, *arguments: str) -> None:
        """Start a process without waiting for it."""
        self.commands[name] = arguments
        self.launch(name)

    def wait(self, *names: str) -> None:
        """Wait until these processes are up."""
        for name in names or tuple(self.processes):
            stream = self.processes[name].stdout
            assert stream is not None
            line = stream.readline()
            assert line, f"{name} did not come up: {self.words(name)}"
            self.records[name] = json.loads(line)

    def kill(self, name: str) -> None:
        """End a process as a power cut would."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def restart(self, name: str) -> None:
        """Start a process that was killed, by the command that it had."""
        self.launch(name)
        self.wait(name)

    def tell(self, name: str, line: str) -> None:
        """Write a line to a process, and wait until it has said that it did so."""
        process = self.processes[name]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.flush()
        answer = json.loads(process.stdout.readline())
        assert answer["done"] == line, answer

    def words(self, name: str) -> str:
        """Return what a process has said to people."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8")

    def client(self, site: str, name: str, *, patience_s: float = 20.0) -> Client:
        """Return a client of an application at a site."""
        app = self.records[site]["applications"][name]
        files = TlsFiles(Path(app["certificate"]), Path(app["key"]), Path(self.records[site]["ca"]))
        return Client(app["url"], tls=files, sae=SaeId(app["sae"]), patience_s=patience_s)

    def sae(self, site: str, name: str) -> SaeId:
        return SaeId(self.records[site]["applications"][name]["sae"])

    def launch(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("a", encoding="utf-8") as words:
            self.processes[name] = subprocess.Popen(
                [*self.programs.get(name, QANAT), *self.commands[name]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
            )


def run_qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=120, check=False)
