"""``qanat network``, from outside: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

QANAT = (sys.executable, "-m", "qanat.apps.cli.main")
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
pytestmark = pytest.mark.slow


def qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_check_tells_people_what_to_expect() -> None:
    done = qanat("network", "check", "beijing-shanghai")
    assert done.returncode == 0, done.stderr
    for words in (
        "34 sites (2 of users, 32 trusted relays), 33 links, 2 applications",
        "10.3 / 16.0 / 20.5",
        "weakest link: hefei-dashu, 20.5 dB",
        "over 33 links and 32 relays, bounded by hefei-dashu",
        "each of 32 sites parts applications when it fails",
    ):
        assert words in done.stdout


def test_check_tells_machines_the_same() -> None:
    done = qanat("network", "check", "three-nodes", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["valid"] is True
    assert [link["loss_db"] for link in found["links"]] == [10.3, 16.0]
    for link in found["links"]:
        assert 0 < link["secret_rate_bits_per_s"] < link["secret_rate_asymptotic_bits_per_s"]
        assert link["block_bits"] >= 4_000_000
        assert 0.006 < link["qber"] < 0.009
    (route,) = found["routes"]
    assert route["nodes"] == ["suzhou", "kunshan", "shanghai"]
    assert route["rate_bits_per_s"] == found["links"][1]["secret_rate_bits_per_s"]
    assert found["weakest_link"] == "kunshan-shanghai"
    assert [warning["code"] for warning in found["warnings"]] == ["single-point-of-failure"]


def test_a_changed_loss_moves_its_row_and_the_end_to_end_rate(tmp_path: Path) -> None:
    """10 % more loss on the weakest span: that row changes, no other, and the route follows it."""
    text = Path("src/qanat/networks/beijing-shanghai.yaml").read_text(encoding="utf-8")
    assert text.count("loss_db: 20.5") == 1
    changed = tmp_path / "changed.yaml"
    changed.write_text(text.replace("loss_db: 20.5", "loss_db: 22.55"), encoding="utf-8")
    before, after = (
        json.loads(qanat("network", "check", name, "--json").stdout) for name in ("beijing-shanghai", str(changed))
    )
    moved = [a["link_id"] for a, b in zip(before["links"], after["links"], strict=True) if a != b]
    assert moved == ["hefei-dashu"]
    assert after["routes"][0]["rate_bits_per_s"] < 0.7 * before["routes"][0]["rate_bits_per_s"]


@pytest.mark.parametrize("command", ["check", "show"])
def test_an_invalid_file_is_named_with_line_and_remedy(tmp_path: Path, command: str) -> None:
    text = Path("src/qanat/networks/three-nodes.yaml").read_text(encoding="utf-8")
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("length_km: 41.1", "length_km: 4.1"), encoding="utf-8")
    line = text[: text.index("length_km: 41.1")].count("\n") + 1
    done = qanat("network", command, str(bad))
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"bad.yaml:{line}: link 'suzhou-kunshan' has 4.1 km of fibre" in done.stderr
    assert "what to do:" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_writes_pictures_by_their_suffix(tmp_path: Path) -> None:
    for name in ("map.svg", "map.PNG"):
        done = qanat("network", "show", "beijing-shanghai", "--out", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        assert f"{name}: 34 sites, 33 links" in done.stderr
    root = ET.fromstring((tmp_path / "map.svg").read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert (tmp_path / "map.PNG").read_bytes().startswith(PNG_SIGNATURE)


@pytest.mark.parametrize(
    ("out", "words"),
    [("map.gif", (".svg or .png",)), ("map", (".svg or .png",)), ("no/such/folder/map.svg", ("cannot write",))],
)
def test_a_picture_that_cannot_be_written_is_refused(tmp_path: Path, out: str, words: tuple[str, ...]) -> None:
    done = qanat("network", "show", "three-nodes", "--out", str(tmp_path / out))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    for word in words:
        assert word in done.stderr


def test_show_prints_sites_and_links() -> None:
    done = qanat("network", "show", "three-nodes")
    assert done.returncode == 0, done.stderr
    for words in ("Suzhou (user A)", "121.474", "kunshan-shanghai", "backbone-625", "63.8"):
        assert words in done.stdout
    record = json.loads(qanat("network", "show", "beijing-shanghai", "--json").stdout)
    assert (len(record["sites"]), len(record["links"])) == (34, 33)
    assert record["picture"] is None
    assert record["prepared_keys"] == [
        {"master": "alice", "slave": "bob", "count": 512, "size_bits": 128},
        {"master": "alice", "slave": "bob", "count": 128, "size_bits": 256},
    ]
