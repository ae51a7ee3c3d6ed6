"""Keys that `qanat distil` left in files at two sites become the key of their link, once; then the files are gone."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from interop.fleet import QANAT, Fleet, free_port, run_qanat
from qanat.apps.distil.example import LINK_NAME
from qanat.ground.errors import KeyShortage, QanatError

pytestmark = pytest.mark.slow

WAIT_S = 60.0
NETWORK = f"""
format: qanat-network/1
name: two-sites
sites:
  - {{name: aarau, kind: user, latitude_deg: 47.39, longitude_deg: 8.05}}
  - {{name: basel, kind: user, latitude_deg: 47.56, longitude_deg: 7.59}}
links:
  - name: {LINK_NAME}
    transmitter: aarau
    receiver: basel
    system: backbone-625
    loss_db: 16.0
    length_km: 60
    modules: {{driver: key-files, origin: device}}
applications:
  - {{name: alice, site: aarau}}
  - {{name: bob, site: basel}}
"""
FOLDERS = {"alice": f"data/aarau/key-files/{LINK_NAME}", "bob": f"data/basel/key-files/{LINK_NAME}"}


def distil(folder: Path) -> None:
    """Let two processes make four keys of recorded sifted bits."""
    made = run_qanat("distil", "make-example", str(folder / "example"), "--sifted-bits", "330000", "--qber", "0.01")
    assert made.returncode == 0, made.stderr
    port = free_port()
    ends = {"alice": ("--listen", f"127.0.0.1:{port}"), "bob": ("--connect", f"127.0.0.1:{port}")}
    parties = []
    for name, line in ends.items():
        own, out = folder / "example" / name, str(folder / FOLDERS[name])
        files = (
            "--sifted",
            str(own / "sifted.npz"),
            "--key",
            str(own / "link.auth"),
            "--out",
            out,
        )
        options = ("--min-entropy", "0.9", "--block-bits", "65536", "--wait", "60", "--json")
        parties.append(subprocess.Popen([*QANAT, "distil", name, *line, *files, *options], stdout=subprocess.DEVNULL))
    assert [party.wait(timeout=120) for party in parties] == [0, 0]


def files_of(folder: Path, name: str) -> list[str]:
    return sorted(path.name for path in (folder / FOLDERS[name]).glob("*.npz"))


def exchange(fleet: Fleet, origins: list[str], *, seconds: float, count: int = 16, until: str = "") -> int:
    """Take keys at both ends until none come for a while, or one's maker is called so; return how many were taken, and
    add what their makers are called."""
    taken, last_s = 0, time.monotonic()
    with fleet.client("aarau", "alice", patience_s=2) as alice, fleet.client("basel", "bob") as bob:
        while time.monotonic() - last_s < seconds:
            try:
                keys = alice.get_keys(fleet.sae("basel", "bob"), count=count, size_bits=256)
            except KeyShortage:
                time.sleep(0.2)
                continue
            except QanatError:
                break
            mates = bob.get_keys_by_id(fleet.sae("aarau", "alice"), [key.key_id for key in keys])
            origins.append(keys[0].origin)
            assert [key.take() for key in keys] == [mate.take() for mate in mates]
            taken, last_s = taken + len(keys), time.monotonic()
            if until == keys[0].origin:
                break
            time.sleep(0.2 if until else 0)
    return taken


@pytest.mark.campaign
def test_distilled_key_files_feed_a_link_and_are_gone(tmp_path: Path) -> None:
    distil(tmp_path)
    names = files_of(tmp_path, "alice")
    assert names == files_of(tmp_path, "bob")
    assert len(names) == 4
    (tmp_path / "network.yaml").write_text(NETWORK, encoding="utf-8")
    config = tmp_path / "deployment.yaml"
    config.write_text("format: qanat-deployment/1\nnetwork: network.yaml\ndata: data\n", encoding="utf-8")
    made = run_qanat("pki", str(tmp_path / "network.yaml"), "--out", str(tmp_path / "data" / "pki"))
    assert made.returncode == 0, made.stderr
    with Fleet(tmp_path) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        for site in ("aarau", "basel"):
            port = str(free_port())
            fleet.add(site, "node", "--config", str(config), "--site", site, "--port", port, "--json")
        fleet.wait()
        origins: list[str] = []
        taken = exchange(fleet, origins, seconds=WAIT_S, count=1, until="device")
        assert origins[-1] == "device", "once the controller has heard both ends say so"
        taken += exchange(fleet, origins, seconds=2)
        assert taken >= 16
        assert len(files_of(tmp_path, "alice")) < 4
        for site in ("basel", "aarau"):
            fleet.kill(site)
            fleet.restart(site)
        taken += exchange(fleet, origins, seconds=12)
        assert files_of(tmp_path, "alice") == files_of(tmp_path, "bob") == []
    assert set(origins[origins.index("device") :]) == {"device"}
    # of each key a part is the authentication reserve, and of the rest a half is for the way back
    assert 100 < taken < 4 * 65536 // 2 // 256


@pytest.mark.campaign
def test_a_file_without_its_pair_is_named_and_gives_nothing(tmp_path: Path) -> None:
    """The same test with one file at one end only: the message says so, and the file is not touched."""
    distil(tmp_path)
    kept = files_of(tmp_path, "alice")[0]
    for name in ("alice", "bob"):
        for other in files_of(tmp_path, name):
            if other != kept or name == "bob":
                (tmp_path / FOLDERS[name] / other).unlink()
    (tmp_path / "network.yaml").write_text(NETWORK, encoding="utf-8")
    config = tmp_path / "deployment.yaml"
    config.write_text("format: qanat-deployment/1\nnetwork: network.yaml\ndata: data\n", encoding="utf-8")
    run_qanat("pki", str(tmp_path / "network.yaml"), "--out", str(tmp_path / "data" / "pki"))
    with Fleet(tmp_path) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        for site in ("aarau", "basel"):
            fleet.add(site, "node", "--config", str(config), "--site", site, "--json")
        fleet.wait()
        with fleet.client("aarau", "alice", patience_s=15) as alice, pytest.raises(KeyShortage):
            alice.get_keys(fleet.sae("basel", "bob"), count=1, size_bits=256)
        assert "no key file" in fleet.words("basel")
        assert files_of(tmp_path, "alice") == [kept]
