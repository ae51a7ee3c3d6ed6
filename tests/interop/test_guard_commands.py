"""`qanat pki` and `qanat audit` as people call them, beside a network that runs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from interop.live import LiveNetwork, running_network
from qanat.adapters.tls import client_context

QANAT = [sys.executable, "-m", "qanat.apps.cli.main"]
PATIENCE_S = 30.0


def qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=120, check=False)


def lines_of(data: Path, *filters: str) -> list[dict[str, Any]]:
    found = qanat("audit", "show", str(data), "--json", *filters)
    assert found.returncode == 0, found.stderr
    return [json.loads(line) for line in found.stdout.splitlines()]


@pytest.mark.slow
def test_pki_is_made_with_or_without_the_word_and_then_renewed_and_taken_back(tmp_path: Path) -> None:
    for words, folder in (((), "a"), (("make",), "b")):
        made = qanat("pki", *words, "three-nodes", "--out", str(tmp_path / folder), "--json")
        assert made.returncode == 0, made.stderr
        assert "alice" in json.loads(made.stdout)["made"]["applications"]
    before = (tmp_path / "a" / "saes" / "alice.pem").read_bytes()
    assert qanat("pki", "renew", "alice", "--out", str(tmp_path / "a")).returncode == 0
    assert (tmp_path / "a" / "saes" / "alice.pem").read_bytes() != before
    assert (tmp_path / "a" / "saes" / "alice.key").stat().st_mode & 0o077 == 0
    assert not list((tmp_path / "a" / "saes").glob("*.spent"))
    taken = qanat("pki", "revoke", "alice", "--out", str(tmp_path / "a"), "--json")
    assert len(json.loads(taken.stdout)["revoked"]["alice"]) == 2
    wrong = qanat("pki", "revoke", "nobody", "--out", str(tmp_path / "a"))
    assert wrong.returncode == 2
    assert "no certificate of 'nobody'" in wrong.stderr


@pytest.mark.slow
def test_a_running_network_takes_up_a_revocation_and_a_limit_and_its_audit_log_tells_of_both(tmp_path: Path) -> None:
    with running_network(tmp_path) as network:
        with alice_to(network) as http:
            assert http.get(status_path(network)).status_code == 200
            (tmp_path / "limits.toml").write_text("[default]\nrequests_per_s = 1\nburst_requests = 1\n")
            until_limited(http, network)
            taken = qanat("pki", "revoke", "alice", "--out", str(tmp_path / "pki"))
            assert taken.returncode == 0, taken.stderr
            with pytest.raises(httpx.TransportError):
                ask_until_cut_off(http, network)
        assert len(lines_of(tmp_path, "--kind", "settings-changed")) == 1
        limited = lines_of(tmp_path, "--kind", "requests-limited")
        assert limited[0]["data"]["sae"] == network.sae("alice")
        assert lines_of(tmp_path, "--kind", "certificates-changed")
        assert qanat("audit", "verify", str(tmp_path)).returncode == 0
    (log,) = (tmp_path / "suzhou" / "audit").glob("audit-*.jsonl")
    log.write_bytes(
        log.read_bytes().replace(b'"requests_per_s":1.0', b'"requests_per_s":9.0').replace(b"alice", b"mallo")
    )
    verified = qanat("audit", "verify", str(tmp_path), "--json")
    assert verified.returncode == 1
    bad = [row for row in json.loads(verified.stdout)["logs"] if not row["holds"]]
    assert [Path(row["folder"]).parent.name for row in bad] == ["suzhou"]


def alice_to(network: LiveNetwork) -> httpx.Client:
    return httpx.Client(base_url=network.url("alice"), verify=client_context(network.files("alice")), timeout=20)


def status_path(network: LiveNetwork) -> str:
    return f"/api/v1/keys/{network.sae('bob')}/status"


def until_limited(http: httpx.Client, network: LiveNetwork) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while (answer := http.get(status_path(network))).status_code != 503:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    assert int(answer.headers["retry-after"]) >= 1
    assert "requests per second" in answer.json()["message"]


def ask_until_cut_off(http: httpx.Client, network: LiveNetwork) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        http.get(status_path(network))
        time.sleep(0.1)
