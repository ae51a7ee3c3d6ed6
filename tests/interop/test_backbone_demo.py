"""The demonstration of the paper's backbone, seen from outside, and what a worse span does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qanat.apps.networks import load_network
from qanat.physics.systems import BACKBONE_625
from qanat.protocols.prediction import expected_rate

QANAT = (sys.executable, "-m", "qanat.apps.cli.main")
THREE_NODES = Path("src/qanat/networks/three-nodes.yaml")
pytestmark = pytest.mark.slow


def demonstration(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [*QANAT, "demo", *arguments, "--json"], capture_output=True, text=True, timeout=400, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def check_backbone(result: dict[str, Any], page: str) -> None:
    """What a demonstration over the backbone has to show, also where it shows more."""
    assert result["file_identical"] is True
    assert all(check["held"] for check in result["checks"])
    spans = {link.link_id for link in load_network("beijing-shanghai").links}
    assert len(spans) == 33
    links = [link for link in result["links"] if link["link_id"] in spans]
    assert len(links) == 33
    assert all(link["keys_identical"] for link in links)
    for link in links:
        assert link["block_bits"] >= 4_000_000
        assert link["eps_total"] <= 1e-9
        assert link["proof"].startswith("composable")
        model = expected_rate(BACKBONE_625, loss_db=link["loss_db"], block_bits=link["block_bits"])
        # 4e6 sifted bits fluctuate by 5e-4 of themselves; 5 sigma
        assert link["sifted_rate_bits_per_s"] == pytest.approx(model.sifted_rate_bits_per_s, rel=2.5e-3)
        assert link["secret_rate_bits_per_s"] == pytest.approx(model.secret_rate_bits_per_s, rel=0.06)
    assert result["end_to_end"]["bounded_by"] == "hefei-dashu"
    assert 33 * 0.9e-9 < result["end_to_end"]["eps_total"] < 66e-9  # one or two blocks a link
    assert result["end_to_end"]["secret_rate_bits_per_s"] == min(link["secret_rate_bits_per_s"] for link in links)
    for number, steps in ((1, [1, 2, 3, 5, 6, 7, 8, 4, 9, 10]), (2, [1, 2, 3, 4, 9, 10])):
        rows = [row for row in result["steps"] if row["request"] == number]
        assert [row["step"] for row in rows] == steps
        assert [row["cause"] for row in rows] == [None, *(row["event_id"] for row in rows[:-1])]
    for transfer in result["transfers"][:2]:
        assert len(transfer["key_route"]) == 34
        assert (transfer["key_route"][0], transfer["key_route"][-1]) == ("beijing-user", "shanghai-user")
    assert {row["source"] for row in result["paper"]} >= {"Fig. 4b, caption", "Table 1"}
    assert result["door_latency"]["count"] > 0
    assert "hefei-dashu" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")


@pytest.mark.campaign  # the usual set holds the demonstration by satellite to it, which crosses the backbone too
def test_a_file_crosses_the_backbone_on_keys_of_every_span(tmp_path: Path) -> None:
    file = tmp_path / "file.bin"
    file.write_bytes(bytes(range(251)) * 10_000)
    result = demonstration("beijing-shanghai", "--file", str(file), "--out", str(tmp_path / "report"))
    assert len(result["links"]) == 33
    assert len(result["transfers"]) == 2
    check_backbone(result, (tmp_path / "report" / "report.html").read_text(encoding="utf-8"))


@pytest.mark.campaign
def test_a_tenth_more_loss_on_one_span_moves_its_row_and_the_rate_end_to_end(tmp_path: Path) -> None:
    worse = tmp_path / "worse.yaml"
    worse.write_text(
        THREE_NODES.read_text(encoding="utf-8").replace("loss_db: 16.0", "loss_db: 17.6"), encoding="utf-8"
    )
    before, after = (demonstration(name, "--out", str(tmp_path)) for name in ("three-nodes", str(worse)))
    (same, moved), (same_after, moved_after) = before["links"], after["links"]
    assert moved["link_id"] == moved_after["link_id"] == "kunshan-shanghai"
    assert moved_after["loss_db"] == pytest.approx(1.1 * moved["loss_db"])
    assert 0.6 < moved_after["secret_rate_bits_per_s"] / moved["secret_rate_bits_per_s"] < 0.8  # 1.6 dB are 0.69
    assert same_after["secret_rate_bits_per_s"] == pytest.approx(same["secret_rate_bits_per_s"], rel=0.06)
    for result in (before, after):
        assert result["end_to_end"]["bounded_by"] == "kunshan-shanghai"
        assert result["end_to_end"]["secret_rate_bits_per_s"] == result["links"][1]["secret_rate_bits_per_s"]
