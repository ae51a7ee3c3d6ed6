"""`qanat up` and `qanat node` as processes of their own, for tests that talk to them from outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from qanat.adapters.tls import TlsFiles
from qanat.client import Client
from qanat.ground.identifiers import SaeId

START_S = 60


@dataclass(frozen=True)
class LiveNetwork:
    """A running network: its process, and what it said of its doors."""

    process: subprocess.Popen[str]
    record: dict[str, Any]

    def sae(self, name: str) -> SaeId:
        return SaeId(self.record["applications"][name]["sae"])

    def files(self, name: str) -> TlsFiles:
        app = self.record["applications"][name]
        return TlsFiles(certificate=Path(app["certificate"]), key=Path(app["key"]), ca=Path(self.record["ca"]))

    def url(self, name: str) -> str:
        return str(self.record["applications"][name]["url"])

    def client(self, name: str, *, patience_s: float = 50.0) -> Client:
        return Client(self.url(name), tls=self.files(name), sae=self.sae(name), patience_s=patience_s)

    def kill(self) -> None:
        """End the service as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass(frozen=True)
class LiveSite:
    """A site that runs apart: its process, and what it said of itself."""

    process: subprocess.Popen[str]
    record: dict[str, Any]

    def kill(self) -> None:
        """End the site as a power cut would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_network(
    data: Path, network: str = "three-nodes", *, apart: Sequence[str] = (), more: Sequence[str] = ()
) -> Iterator[LiveNetwork]:
    """Start `qanat up` on ``data`` and stop it at the end; it must come up and go down cleanly. ``more``: options."""
    options = [option for site in apart for option in ("--apart", site)]
    with _running("up", network, "--data", str(data), "--port", "0", *options, *more, "--json") as (process, record):
        yield LiveNetwork(process, record)


@contextmanager
def running_site(data: Path, site: str, network: str = "three-nodes") -> Iterator[LiveSite]:
    """Start `qanat node` for a site and stop it at the end; it must come up and go down cleanly."""
    with _running("node", network, site, "--data", str(data), "--json") as (process, record):
        yield LiveSite(process, record)


@contextmanager
def _running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run a command until it has printed its record. Its words go to a file: a full pipe would bring it to a halt."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "qanat.apps.cli.main", *arguments], stdout=subprocess.PIPE, stderr=words, text=True
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                line = process.stdout.readline()
                assert line, _all_of(words)
                yield process, json.loads(line)
                was_killed = process.poll() is not None
                if not was_killed:
                    process.send_signal(signal.SIGTERM)
                    assert process.wait(timeout=START_S) == 0, _all_of(words)
            except BaseException:
                sys.stderr.write(_all_of(words))  # shown with a test that fails: the other half of what it saw
                raise
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()


def _all_of(words: IO[str]) -> str:
    words.seek(0)
    return words.read()
