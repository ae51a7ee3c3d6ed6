"""The README's first command, from outside: exit status, JSON, report, and what happens to bad input."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlparse

import pytest

QANAT = (sys.executable, "-m", "qanat.apps.cli.main")
pytestmark = pytest.mark.slow


def qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=240, check=False)


def test_demo_proves_what_it_set_out_to_prove(tmp_path: Path) -> None:
    file = tmp_path / 'a "file", of no round [bold]size.bin'
    file.write_bytes(bytes(range(256)) * 700 + b"tail")
    done = qanat("demo", "three-nodes", "--file", str(file), "--out", str(tmp_path / "report"), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["file_identical"] is True
    assert result["transfers"][0]["name"] == "a _file_, of no round [bold]size.bin", "as it may stand on any system"
    assert "alice sends a _file_, of no round [bold]size.bin" in done.stderr
    assert [link["keys_identical"] for link in result["links"]] == [True, True]
    assert [link["loss_db"] for link in result["links"]] == [10.3, 16.0]
    for link in result["links"]:
        assert link["block_bits"] >= 4_000_000
        assert link["eps_total"] <= 1e-9
        assert 0.006 < link["qber"] < 0.009
        assert 1.0 < link["f_ec"] < 1.2
        assert link["secret_rate_bits_per_s"] < link["sifted_rate_bits_per_s"]
    for request, steps in ((1, [1, 2, 3, 5, 6, 7, 8, 4, 9, 10]), (2, [1, 2, 3, 4, 9, 10])):
        rows = [row for row in result["steps"] if row["request"] == request]
        assert [row["step"] for row in rows] == steps
        assert [row["cause"] for row in rows] == [None, *(row["event_id"] for row in rows[:-1])]
    assert "preparing (once)" in done.stderr
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "suzhou-kunshan" in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "<script src" not in page


def test_a_disturbed_link_ends_the_demo_with_the_reason(tmp_path: Path) -> None:
    network = tmp_path / "disturbed.yaml"
    text = Path("src/qanat/networks/three-nodes.yaml").read_text(encoding="utf-8")
    network.write_text(text.replace("loss_db: 10.3", "loss_db: 10.3\n    disturbance: 0.08"), encoding="utf-8")
    done = qanat("demo", str(network), "--out", str(tmp_path / "new" / "report"))
    assert done.returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["disturbed.yaml"], "a failed run leaves no empty folders"
    assert "error (quantum layer)" in done.stderr
    assert "suzhou-kunshan: the disclosed signal has" in done.stderr
    assert "the threshold is 5.00 %" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("demo", "no-such-network"), ("no network", "three-nodes")),
        (("demo", "three-nodes", "--file", "no-such-file"), ("does not exist", "--file")),
        (("demo", "{bad}"), ("bad.yaml:2", "format")),
        (("demo", "--out", "/dev/null/report"), ("no report can be written", "--out")),
        (("demo", "--out", ""), ("--out", "the name is empty")),
        (("demo", "{lonely}"), ("lonely.yaml: no two applications", "put an application at each of two sites")),
        (("up", "--data", "/proc/data"), ("error (machine)", "/proc/data: ", "what to do:")),
        (("up", "--port", "65534"), ("the 170 doors", "go beyond 65535", "--port")),  # of the paper's whole network
        (("pki", "three-nodes", "--out", "/dev/null/pki"), ("/dev/null",)),
        (("bench", "no-such-benchmark"), ("no benchmark", "photon-sampling")),
    ],
)
def test_bad_input_is_named_with_its_remedy(tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("# nothing\nformat: qanat-network/9\nname: bad\n", encoding="utf-8")
    lonely = tmp_path / "lonely.yaml"
    lonely.write_text(RING.replace("site: c", "site: a"), encoding="utf-8")
    names = {"{bad}": str(bad), "{lonely}": str(lonely)}
    done = qanat(*(names.get(argument, argument) for argument in arguments))
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "preparing" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.campaign)])
def test_an_interrupted_demo_ends_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [*QANAT, "demo", "three-nodes", "--out", str(tmp_path / "report")],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stderr is not None
    with process.stderr:
        for line in process.stderr:
            if "user asks" in line:
                process.send_signal(number)
                break
        rest = process.stderr.read()
        assert process.wait(timeout=30) == 130
    assert "stopped by you" in rest
    assert "Traceback" not in rest
    assert list(tmp_path.iterdir()) == [], "no keys or certificates are left behind, and no empty folder"


def test_a_start_on_ports_that_are_taken_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = qanat("up", "three-nodes", "--data", str(tmp_path / "data"), "--port", str(port - 1))
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_that_is_stopped_while_somebody_waits_for_keys_says_so(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A link of 40 dB needs minutes for its first key: the caller is told of the stop, the log of nothing."""
    network = tmp_path / "slow.yaml"
    text = Path("src/qanat/networks/three-nodes.yaml").read_text(encoding="utf-8")
    network.write_text(text.replace("loss_db: 10.3", "loss_db: 40"), encoding="utf-8")
    process = subprocess.Popen(
        [*QANAT, "up", str(network), "--data", str(tmp_path / "data"), "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        code, hint, message = ask_and_stop(process, tmp_path / "data" / "pki" / "ca.pem", number)
        _, rest = process.communicate(timeout=30)
    finally:
        process.kill()
        process.communicate()
    assert code == 503
    assert int(hint) > 0
    assert "being stopped" in message
    assert process.returncode == 0
    assert "Traceback" not in rest
    assert "CancelledError" not in rest
    assert "stopped; keys stay in their stores" in rest


def ask_and_stop(process: subprocess.Popen[str], ca: Path, number: signal.Signals) -> tuple[int, str, str]:
    """Ask for a key, stop the whole group when key is being made for it; return status, hint and text of the answer."""
    assert process.stdout is not None
    assert process.stderr is not None
    alice, bob = json.loads(process.stdout.readline())["applications"].values()
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(alice["certificate"], alice["key"])
    with closing(http.client.HTTPSConnection(urlparse(alice["url"]).netloc, context=context, timeout=30)) as door:
        wish = {"extension_optional": [{"qanat_patience_s": 30}]}
        door.request("POST", f"/api/v1/keys/{bob['sae']}/enc_keys", json.dumps(wish))
        for line in process.stderr:
            if "orders the links" in line or "what to do" in line:
                break
        os.killpg(process.pid, number)
        answer = door.getresponse()
        return answer.status, answer.headers["retry-after"], json.loads(answer.read())["message"]


@pytest.mark.campaign
def test_links_that_no_route_needs_make_no_key_and_no_fault(tmp_path: Path) -> None:
    network = tmp_path / "ring.yaml"
    network.write_text(RING, encoding="utf-8")
    done = qanat("demo", str(network), "--out", str(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [link["link_id"] for link in result["links"]] == ["c-d", "d-a"], "the way with less loss"
    assert result["transfers"][0]["key_route"] == ["a", "d", "c"]


RING = """
format: qanat-network/1
name: ring
sites:
  - {name: a, kind: user, latitude_deg: 31.2, longitude_deg: 120.5}
  - {name: b, kind: relay, latitude_deg: 31.4, longitude_deg: 120.7}
  - {name: c, kind: user, latitude_deg: 31.2, longitude_deg: 120.9}
  - {name: d, kind: relay, latitude_deg: 31.0, longitude_deg: 120.7}
links:
  - {name: a-b, transmitter: a, receiver: b, system: backbone-625, loss_db: 12, length_km: 48}
  - {name: b-c, transmitter: b, receiver: c, system: backbone-625, loss_db: 12, length_km: 48}
  - {name: c-d, transmitter: c, receiver: d, system: backbone-625, loss_db: 10, length_km: 48}
  - {name: d-a, transmitter: d, receiver: a, system: backbone-625, loss_db: 10, length_km: 48}
applications:
  - {name: alice, site: a}
  - {name: bob, site: c}
"""
