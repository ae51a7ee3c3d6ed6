"""No key byte in a file, a log, an error or a record of the audit: known keys are looked for in all that a network
leaves behind; and what a process keeps of them in its memory."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from interop.canary import Leak, scan_files, scan_memory, spellings
from qanat.adapters.audit_chain import verify
from qanat.adapters.etsi014_http import MAX_BODY_BYTES
from qanat.adapters.tls import TlsFiles
from qanat.apps.cli.audit import LineFilter, logs_in, run_show
from qanat.client import Client
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import KeyID, SaeId

KEY = bytes(range(1, 256, 8))
START_S = 60


@pytest.mark.parametrize("name", spellings(KEY))
def test_a_planted_key_is_found_in_every_spelling(tmp_path: Path, name: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "log").write_bytes(b"some text " + spellings(KEY)[name] + b" and more")
    assert any(leak.spelling == name for leak in scan_files([tmp_path], [KEY]))
    assert scan_files([tmp_path], [bytes(reversed(range(7, 39)))]) == []


def test_a_planted_key_is_found_in_memory() -> None:
    """The child keeps one key and not the other."""
    text = "import sys; kept = bytes(range(1, 256, 8)); print('ready', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        try:
            found = scan_memory(process.pid, [KEY, KEY[::2] + KEY[1::2]])
        except PermissionError:
            pytest.skip("this system does not let a parent read its child's memory")
        finally:
            process.stdin.close()
    assert {leak.number for leak in found} == {0}


class Up:
    """`qanat up` on a folder, with its words in files, so that all of them can be looked through."""

    def __init__(self, data: Path, words: Path) -> None:
        self.data = data
        self._words = words
        self._starts = 0

    @contextmanager
    def running(self) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, dict[str, str]]]]:
        self._starts += 1
        with (
            (self._words / f"out{self._starts}").open("w+b") as out,
            (self._words / f"err{self._starts}").open("w+b") as err,
        ):
            command = [sys.executable, "-m", "qanat.apps.cli.main", "up", "three-nodes", "--port", "0", "--json"]
            process = subprocess.Popen([*command, "--data", str(self.data)], stdout=out, stderr=err)
            try:
                yield process, self._record(process, out)
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                process.wait(timeout=START_S)

    def _record(self, process: subprocess.Popen[bytes], out: IO[bytes]) -> dict[str, dict[str, str]]:
        for _ in range(20 * START_S):
            text = Path(out.name).read_bytes()
            if text.endswith(b"\n"):
                return dict(json.loads(text))
            assert process.poll() is None
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.05)
        raise AssertionError("it did not come up")


def client(record: dict[str, dict[str, str]], name: str) -> Client:
    app = record["applications"][name]
    files = TlsFiles(Path(app["certificate"]), Path(app["key"]), Path(str(record["ca"])))  # type: ignore[index]
    return Client(app["url"], tls=files, sae=SaeId(app["sae"]), patience_s=50.0)  # type: ignore[index]


def take_keys(record: dict[str, dict[str, str]], *, count: int, fetch: int) -> tuple[list[KeyID], list[bytes]]:
    """Have Alice given keys over the relay, and Bob some of them; provoke refusals of every kind on the way."""
    alice_id, bob_id = (SaeId(record["applications"][name]["sae"]) for name in ("alice", "bob"))  # type: ignore[index]
    with client(record, "alice") as alice, client(record, "bob") as bob:
        keys = alice.get_keys(bob_id, count=count, size_bits=256)
        ids, secrets = [key.key_id for key in keys], [key.take() for key in keys]
        mates = bob.get_keys_by_id(alice_id, ids[:fetch])
        assert [key.take() for key in mates] == secrets[:fetch]
        for wrong in (
            lambda: bob.get_keys_by_id(alice_id, ids[:fetch]),
            lambda: alice.get_keys_by_id(alice_id, ids[fetch:]),
            lambda: alice.get_keys(bob_id, count=129, size_bits=256),
            lambda: alice.get_keys(bob_id, count=1, size_bits=8 * MAX_BODY_BYTES),
        ):
            with pytest.raises(QanatError) as caught:
                wrong()
            assert not any(text in str(caught.value).encode() for key in secrets for text in spellings(key).values())
    return ids, secrets


@pytest.mark.slow
def test_no_key_is_found_in_anything_that_a_network_leaves_behind(tmp_path: Path) -> None:
    """Keys are given, relayed, fetched and refused; the process is killed, started again, aborted as by a fault of its
    own, and started once more. Then every file of the data folder and all that was printed is looked through; the same
    scan finds a key that is planted there."""
    words = tmp_path / "words"
    words.mkdir()
    up = Up(tmp_path / "data", words)
    with up.running() as (process, record):
        ids, secrets = take_keys(record, count=16, fetch=8)
        assert _core_limit(process.pid) == "1"
        process.send_signal(signal.SIGKILL)
        process.wait()
    with up.running() as (process, record):
        more_ids, more = take_keys(record, count=4, fetch=2)
        process.send_signal(signal.SIGABRT)
        assert process.wait() == -signal.SIGABRT
    with up.running() as (_, record):
        with client(record, "bob") as bob:
            kept = bob.get_keys_by_id(SaeId(record["applications"]["alice"]["sae"]), ids[8:])  # type: ignore[index]
        assert [key.take() for key in kept] == secrets[8:]
    secrets += more
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        run_show(tmp_path / "data", LineFilter(), as_json=False)
    (words / "shown").write_text(shown.getvalue(), encoding="utf-8")

    assert scan_files([tmp_path], secrets) == []
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("core")]
    logs = logs_in(tmp_path / "data")
    assert {log.parent.name for log in logs} >= {"suzhou", "kunshan", "shanghai"}
    assert all(verify(log).bad is None for log in logs)
    assert all(key_id in shown.getvalue() for key_id in [*ids, *more_ids])

    with (tmp_path / "data" / "events.jsonl").open("ab") as log:
        log.write(secrets[5].hex().encode())
    assert scan_files([tmp_path], secrets) == [Leak(str(tmp_path / "data" / "events.jsonl"), "hex", 5)]


def _core_limit(pid: int) -> str:
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/limits").read_text(encoding="utf-8").splitlines()
        if line.startswith("Max core file size")
    ]
    return line.split()[4]
