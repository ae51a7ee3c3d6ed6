"""``qanat network``, from outside: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5
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
    ours = uuid5(NAMESPACE_URL, "urn:qanat")
    assert route["etsi015_qkdl_id"] == str(uuid5(ours, "three-nodes route shanghai kunshan suzhou"))
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
    assert ("NOT valid, 1 fault; what is in the file" in done.stdout) == (command == "check")
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


def test_check_of_the_paper_s_network_prints_table_1_and_its_puzzles() -> None:
    done = subprocess.run(
        [*QANAT, "network", "check", "nature2021"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    rows = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any(row.startswith("jinan here 3 50 95 437 7.6 3.0 / 5.8 / 12.5") for row in rows)
    assert any(row.startswith("paper 3 50 95 437 7.6 3.0 / 5.8 / 12.5 12.0 / 26.3 / 47.6") for row in rows)
    for words in (
        "input: the file was made to have them",
        "fitted: the figures of single links",
        "predicted (model)",
        "here 9 of 12 are counted",
        "437 links are 11 fibres and 426 pairs",
        "8 links cannot join 14 sites",
        "figures of 616 of 619 links",
    ):
        assert words in done.stdout


def test_machines_are_given_table_1_and_a_deleted_link_changes_it(tmp_path: Path) -> None:
    text = Path("src/qanat/networks/nature2021.yaml").read_text(encoding="utf-8")
    changed = tmp_path / "changed.yaml"
    gone = ("{name: beijing-relay-02-relay-03,",)
    kept = [line for line in text.splitlines() if not any(words in line for words in gone)]
    changed.write_text("\n".join(kept) + "\n", encoding="utf-8")
    before, after = (
        json.loads(qanat("network", "check", name, "--json").stdout)["table_1"]["rows"]
        for name in ("nature2021", str(changed))
    )
    assert all(row["differing"] == [] for row in before)
    links = {row["network"]: row["ours"] and row["ours"]["links"] for row in before}
    assert links == {"backbone": 135, "beijing": 39, "jinan": 437, "hefei": 8, "shanghai": 82, "xinglong": 5,
                     "satellite": 2}  # fmt: skip
    assert {row["network"]: row["ours"] and row["ours"]["links"] for row in after} == {**links, "beijing": 38}
    assert [row["network"] for row in after if "links" in row["differing"]] == ["beijing"]


def test_networks_are_built_exported_imported_and_checked(tmp_path: Path) -> None:
    built = qanat("network", "build", "ring", "--nodes", "8")
    assert built.returncode == 0, built.stderr
    ring = tmp_path / "ring.yaml"
    ring.write_text(built.stdout, encoding="utf-8")
    for suffix in ("graphml", "json", "geojson"):
        done = qanat("network", "export", str(ring), str(tmp_path / f"ring.{suffix}"))
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "ring.geojson").read_text(encoding="utf-8"))["type"] == "FeatureCollection"
    for suffix in ("graphml", "json"):
        done = qanat("network", "import", str(tmp_path / f"ring.{suffix}"))
        assert done.returncode == 0, done.stderr
        again = tmp_path / f"again-{suffix}.yaml"
        again.write_text(done.stdout, encoding="utf-8")
        checked = json.loads(qanat("network", "check", str(again), "--json").stdout)
        assert [link["loss_db"] for link in checked["links"]] == [12.5] * 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("build", "cube", "--nodes", "8"), "use one of: line, ring"),
        (("build", "ring", "--nodes", "8", "--system", "none"), "none"),
        (("import", "no-such.json"), "cannot read"),
        (("import", "network.txt"), ".graphml or .json"),
        (("export", "three-nodes", "network.txt"), ".geojson"),
        (("show", "three-nodes", "--only", "paris"), "counted as 'paris'"),
    ],
)
def test_what_cannot_be_made_or_converted_is_refused(arguments: tuple[str, ...], words: str) -> None:
    done = qanat("network", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demonstration_of_the_paper_s_network_is_refused_and_points_to_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [*QANAT, "demo", "nature2021"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode == 2
    assert "170 sites" in done.stderr
    assert "`qanat up nature2021`" in done.stderr
    assert list(tmp_path.iterdir()) == []
