"""The pages on services: the documented reader reads what is sealed, the documented directory is one."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag

from qanat.adapters.authority import Authority
from qanat.adapters.process_lock import ProcessLock
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.ground.identifiers import slaves_together
from qanat.services.ciphers import RecordKind, Refresh
from qanat.services.conversation import HELLO, RECORD, REFUSAL, Hello
from qanat.services.directory import parse_directory
from service_support import sae_of
from unit.service_fakes import BOB, EVE
from unit.test_service_ciphers import CONTEXT, Rig

DOCS = Path(__file__).parents[2] / "docs"
FORMAT = (DOCS / "formats" / "service-records.md").read_text(encoding="utf-8")
HOW_TO = (DOCS / "how-to-use-services.md").read_text(encoding="utf-8")


def test_the_documented_reader_reads_what_is_sealed_and_refuses_what_was_altered() -> None:
    async def run() -> None:
        rig = Rig(replace(CONTEXT, recipient=slaves_together((BOB, EVE))), Refresh(every_records=2))
        contents = [b"one", b"", b"three" * 1000]
        records = [
            await rig.sealer.seal(content, kind=RecordKind.CONTROL, is_last=number == 2)
            for number, content in enumerate(contents)
        ]
        keys = {str(key_id): data for key_id, (_, data) in rig.stock.waiting.items()}
        frame = Hello("text", rig.context).frame()
        hello = json.loads(frame[8:])
        names: dict[str, object] = {}
        (source,) = re.findall(r"```python\n(.*?)```", FORMAT, flags=re.DOTALL)
        exec(compile(source, "service-records.md", "exec"), names)
        read = names["read_stream"]
        assert callable(read)
        assert read(hello, records, keys) == contents
        with pytest.raises(ValueError, match="end is missing"):
            read(hello, records[:2], keys)
        with pytest.raises(ValueError, match="not the next"):
            read(hello | {"recipient": BOB}, records, keys)
        with pytest.raises(InvalidTag):
            read(hello, [records[0][:-1] + bytes([records[0][-1] ^ 1]), *records[1:]], keys)

    asyncio.run(run())


def test_the_format_names_our_frame_kinds() -> None:
    told = dict(re.findall(r"^\| (HELLO|RECORD|REFUSAL) \| (0x\w\w) ", FORMAT, flags=re.MULTILINE))
    assert {name: int(kind, 16) for name, kind in told.items()} == {
        "HELLO": HELLO,
        "RECORD": RECORD,
        "REFUSAL": REFUSAL,
    }


def test_the_documented_directory_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", HOW_TO, flags=re.DOTALL)
    directory = parse_directory(text, source="directory.toml")
    assert directory.me is not None
    assert [contact.name for contact in directory.members("board")] == ["bob", "carol"]


USERS = ["call_somebody", "one_time_pad", "send_a_file", "send_a_text"]
EXAMPLES = [*USERS, "seal_frames"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_without_its_argument_says_how_it_is_started(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path)])
    with pytest.raises(SystemExit, match=f"python examples/{name}.py ./data"):
        runpy.run_path(str(path), run_name="__main__")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_ends_with_the_words_of_its_fault(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path)])
    with pytest.raises(SystemExit, match=rf"^no network is up on {tmp_path} .start it: qanat up"):
        runpy.run_path(str(path), run_name="__main__")


def write_network(data: Path) -> None:
    """Leave what a network that is up leaves for alice and bob: its record, and their certificates."""
    authority, told = Authority.create("test", SystemEntropy(), SystemClock()), {}
    authority.write(data)
    for name in ("alice", "bob"):
        files = {"certificate": data / f"{name}.pem", "key": data / f"{name}.key"}
        for file, pem in zip(files.values(), authority.issue(sae_of(name), is_node=False), strict=True):
            file.write_bytes(pem)
        told[name] = {"sae": sae_of(name), "url": "https://127.0.0.1:1"} | {
            kind: str(file) for kind, file in files.items()
        }
    record = {"ca": str(data / "ca.pem"), "applications": told}
    (data / "service.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("name", USERS)
def test_an_example_says_that_the_user_receives_already(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(__file__).parents[2] / "examples" / f"{name}.py"
    write_network(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path)])
    home = tmp_path / "users" / "bob"
    home.mkdir(parents=True)
    lock = ProcessLock(home / "receiving.lock", what="bob receives already", remedy="end that one")
    with lock, pytest.raises(SystemExit, match=r"^bob receives already, process \d+"):
        runpy.run_path(str(path), run_name="__main__")
