"""What commands do where nobody reads one of their two outputs: the other one is told all the same."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from qanat.apps.cli import collect, services, tunnel
from qanat.apps.cli.outputs import ClosedOutput, name_output, open_closed, warn
from qanat.apps.cli.service_options import Sealing, Who
from qanat.apps.cli.service_place import print_json, tell, tell_reader
from qanat.apps.cli.services import _Bar, _told, _told_of_waits
from qanat.ground.errors import KeyShortage
from qanat.services.fax import ArrivedFax
from qanat.services.file_delivery import ArrivedFile, Progress
from qanat.users.supply import TellingSupply
from service_support import NAMES, FakeSupply, House, sae_of

ENDED = "nobody reads standard output any more: ended"
OUTPUTS = ("stdout", "stderr")
QANAT = (sys.executable, "-m", "qanat.apps.cli.main")


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Give a pipe's two ends: the reading one is the caller's to close."""
    reading, writing = os.pipe()
    try:
        yield reading, writing
    finally:
        os.close(writing)


def write_service_record(data: Path) -> None:
    """Leave what ``qanat up`` says of a network in which everybody is at one door."""
    entry = {"certificate": "c.pem", "key": "k.pem", "url": "https://127.0.0.1:1"}
    told = {"ca": "ca.pem", "applications": {name: entry | {"sae": sae_of(name)} for name in NAMES}}
    (data / "service.json").write_text(json.dumps(told), encoding="utf-8")


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
    if other == "stdout":
        assert [json.loads(line)["file"]["name"] for line in lines] == ["film.bin"] * 2
    else:
        assert lines == ["alice sent film.bin, 5 bytes", ENDED, "alice sent film.bin, 5 bytes"]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_what_is_told_of_a_delivery_goes_nowhere_where_nobody_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    """Standard output, which programs read, is told all the same."""
    with pipe_as("stdout", monkeypatch) as reading, pipe_as("stderr", monkeypatch) as unread:
        os.close(unread)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
        with _Bar("film.bin") as bar:
            bar.say("bob does not answer")
            bar.step(Progress(5, 5, 1))
            bar.say("bob does not answer yet")
        for _ in range(2):
            tell("bob has film.bin")
        print_json({"sent": "film.bin"})
    with os.fdopen(reading, encoding="utf-8") as told:
        assert told.read() == '{"sent": "film.bin"}\n'


@pytest.mark.parametrize("how", ["closed", "unread"])
@pytest.mark.parametrize(("members", "status"), [("bob carol", 0), ("bob nobody", 2)])
def test_a_command_whose_words_nobody_reads_does_its_work_and_ends_with_its_status(
    tmp_path: Path, how: str, members: str, status: int
) -> None:
    write_service_record(tmp_path)
    words = f"group board {members} --as alice --data {tmp_path} --json".split()
    with pipe() as (reading, writing):
        os.close(reading)
        shell = 'exec "$@" 2>&-' if how == "closed" else 'exec "$@"'
        done = subprocess.run(
            ["sh", "-c", shell, "sh", *QANAT, *words], stdout=subprocess.PIPE, stderr=writing, check=False
        )
    assert done.returncode == status, done.stdout
    if status == 0:
        assert json.loads(done.stdout) == {"groups": {"board": ["bob", "carol"]}}
        assert (tmp_path / "directory.toml").read_text(encoding="utf-8") == '[groups]\nboard = ["bob", "carol"]\n'


def test_a_command_ends_quietly_where_nobody_reads_what_it_prints(tmp_path: Path) -> None:
    write_service_record(tmp_path)
    with pipe() as (reading, writing):
        os.close(reading)
        words = ["contacts", "--as", "alice", "--data", str(tmp_path)]
        done = subprocess.run([*QANAT, *words], stdout=writing, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


PRINT_WHAT_IS_OPEN = """
import os, sys
sys.{name} = None
os.close({number})
from qanat.apps.cli.outputs import open_closed
open_closed()
print(os.readlink("/proc/self/fd/{number}"), file=sys.{other})
print("nobody hears this", file=sys.{name}, flush=True)
sys.exit(os.system("echo neither this >&{number}"))
"""


@pytest.mark.parametrize(("name", "number", "other"), [("stdout", 1, "stderr"), ("stderr", 2, "stdout")])
def test_an_output_that_was_closed_leads_nowhere_also_for_what_is_started_from_here(
    name: str, number: int, other: str
) -> None:
    """The next file that is opened would take its number, and get what is told."""
    program = PRINT_WHAT_IS_OPEN.format(name=name, number=number, other=other)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, getattr(done, other)) == (0, f"{os.devnull}\n")


def test_a_wait_for_a_key_that_cannot_be_told_ends_the_command_and_breaks_nothing_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was raised where the key was asked for, and there taken for a fault of this machine's."""
    house, stop = House(tmp_path / "data"), asyncio.Event()
    say = _told_of_waits(house.user("bob").people, ClosedOutput(stop))
    supply = TellingSupply(FakeSupply(house.stock, sae_of("bob"), shortages=1), say=say, every_time=True)
    with pipe_as("stderr", monkeypatch) as unread:
        os.close(unread)
        with pytest.raises(KeyShortage):
            asyncio.run(supply.get_keys(sae_of("alice"), count=1, size_bits=256))
    assert stop.is_set()


def test_another_fault_of_an_output_is_not_taken_for_it() -> None:
    fault = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space") as raised:
        ClosedOutput(asyncio.Event()).found(fault)
    assert raised.value is fault


ALICE, SEALING = Who("alice", None, None), Sealing("aes-128-gcm", 60.0, 0.0)


@contextmanager
def at_home(house: House, monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Iterator[None]:
    """Let commands be alice's in a house, and find her keys there."""
    with monkeypatch.context() as patch:
        for module in modules:
            patch.setattr(module, "people_of", lambda _: house.user("alice").people)
            patch.setattr(module, "UserServices", lambda _, **__: house.user("alice"))
        yield


def receive_here() -> int:
    return services.run_receive(ALICE, out=Path(), port=0, once=False, as_json=True)


def tunnel_here() -> int:
    return tunnel.run_tunnel("bob", listen="0", who=ALICE, sealing=SEALING, as_json=True)


def collect_here() -> int:
    plan = collect.Plan("boiler", "pwd", 600.0, None)
    return collect.run_collect("bob", plan, who=ALICE, sealing=SEALING, as_json=True)


@pytest.mark.parametrize("command", [receive_here, tunnel_here, collect_here])
def test_a_command_that_is_run_to_be_read_says_why_it_ended_and_has_one_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[[], int]
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        at_home(House(tmp_path / "data"), monkeypatch, services, tunnel, collect),
        pipe_as("stderr", monkeypatch) as reading,
        pipe_as("stdout", monkeypatch) as unread,
    ):
        os.close(unread)
        assert command() == 0
    with os.fdopen(reading, encoding="utf-8") as told:
        assert told.read().splitlines().count(ENDED) == 1


FULL = Path("/dev/full")


@pytest.mark.parametrize("tell_it", [tell, tell_reader, warn])
def test_standard_error_that_cannot_be_written_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, tell_it: Callable[[str], None]
) -> None:
    with pipe_as("stdout", monkeypatch) as reading, FULL.open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stderr", full)
        for _ in range(2):
            tell_it("bob has film.bin")
        print_json({"sent": "film.bin"})
    with os.fdopen(reading, encoding="utf-8") as told:
        assert told.read() == '{"sent": "film.bin"}\n'


def test_a_report_that_cannot_be_printed_has_a_status_of_its_own_and_says_what_was_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def text_here() -> int:
        return services.run_text("bob", "hello", who=ALICE, sealing=SEALING, patience_s=0.0, as_json=True)

    with at_home(House(tmp_path / "data"), monkeypatch, services), FULL.open("w", encoding="utf-8") as full:
        with pipe_as("stderr", monkeypatch) as reading, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", full)
            assert text_here() == 3
        with pipe_as("stdout", monkeypatch) as printed, FULL.open("w", encoding="utf-8") as deaf:
            monkeypatch.setattr(sys, "stderr", deaf)
            assert text_here() == 0
    with os.fdopen(reading, encoding="utf-8") as told, os.fdopen(printed, encoding="utf-8") as lines:
        assert "only the report is lost, the text waits in the outbox" in told.read().splitlines()[-1]
        assert json.loads(lines.read())["waiting"] == ["bob"]


def test_the_report_is_lost_too_where_standard_output_was_closed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        at_home(House(tmp_path / "data"), monkeypatch, services),
        pipe_as("stderr", monkeypatch) as reading,
        monkeypatch.context() as patch,
    ):
        patch.setattr(sys, "stdout", None)
        open_closed()
        name_output()
        assert services.run_text("bob", "hi", who=ALICE, sealing=SEALING, patience_s=0.0, as_json=True) == 3
        sys.stdout.close()
    with os.fdopen(reading, encoding="utf-8") as told:
        assert "only the report is lost, the text waits in the outbox" in told.read().splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "buffering"),
    [
        ("--help", {}),
        ("--version", {"PYTHONUNBUFFERED": "1"}),
        ("contacts", {}),
        ("contacts", {"PYTHONUNBUFFERED": "1"}),
    ],
)
def test_what_cannot_be_printed_is_told_once_with_the_status_of_what_is_not_done(
    tmp_path: Path, words: str, buffering: dict[str, str]
) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    write_service_record(tmp_path)
    place = ["--as", "alice", "--data", str(tmp_path)] if words.startswith("contacts") else []
    with FULL.open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [*QANAT, *words.split(), *place], stdout=full, stderr=subprocess.PIPE, env=plain | buffering, check=False
        )
    fault, remedy = done.stderr.decode().splitlines()
    assert (done.returncode, fault) == (2, "error (machine): standard output: No space left on device")
    assert "make room" in remedy


def test_help_that_nobody_reads_ends_quietly() -> None:
    with pipe() as (reading, writing):
        os.close(reading)
        done = subprocess.run([*QANAT, "--help"], stdout=writing, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (1, b"")


def test_one_page_is_told_as_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_fax = _told(House(tmp_path).user("bob").people, False, None).on_fax
    for num_pages in (1, 2):
        on_fax(ArrivedFax("letter.tiff", num_pages, 5, "", sae_of("alice")))
    assert [line.split(" of ")[1] for line in capsys.readouterr().err.splitlines()] == [
        "1 page, letter.tiff",
        "2 pages, letter.tiff",
    ]
