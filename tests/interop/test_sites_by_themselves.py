"""Sites, twins and controller as processes of their own, on hosts of their own: each has its files and no others."""

from __future__ import annotations

import json
import shutil
import ssl
from pathlib import Path

import httpx
import pytest

from interop.fleet import Fleet, free_port, run_qanat

pytestmark = pytest.mark.slow

SITES = {"suzhou": ("127.0.0.2", "alice"), "kunshan": ("127.0.0.3", ""), "shanghai": ("127.0.0.4", "bob")}
"""Every site at an address of its own, as hosts have it."""
LINKS = {"suzhou-kunshan": ("suzhou", "kunshan"), "kunshan-shanghai": ("kunshan", "shanghai")}


def deployment_text() -> str:
    sites = {
        site: {"host": host, "port": free_port(), "door_port": free_port() if name else 0}
        for site, (host, name) in SITES.items()
    }
    twins = {link: {"host": "127.0.0.5", "port": free_port()} for link in LINKS}
    controller = {"host": "127.0.0.6", "port": free_port()}
    return f"""format: qanat-deployment/1
network: three-nodes
controller: {json.dumps(controller)}
sites: {json.dumps(sites)}
twins: {json.dumps(twins)}
"""


def bring(pki: Path, host: Path, *names: str) -> str:
    """Carry files of the network's certificates to a host; return the host's data folder."""
    for name in ("ca.pem", *names):
        path = host / "pki" / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copy2(pki / name, path)
    return str(host)


def add_all(fleet: Fleet, folder: Path, pki: Path, config: str) -> None:
    """Start every process with a data folder that holds its own files only."""
    node = ("nodes/controller.pem", "nodes/controller.key")
    data = bring(pki, folder / "controller", *node)
    fleet.add("controller", "controller", "--config", config, "--data", data, "--json")
    for link in LINKS:
        data = bring(pki, folder / link, f"twins/{link}.pem", f"twins/{link}.key")
        fleet.add(link, "twin", "--config", config, "--link", link, "--data", data, "--json")
    for site, (_, name) in SITES.items():
        keys = [f"links/{link}.auth" for link, ends in LINKS.items() if site in ends]
        own = [f"nodes/{site}.pem", f"nodes/{site}.key", *keys]
        own += [f"saes/{name}.pem", f"saes/{name}.key"] if name else []
        data = bring(pki, folder / site, *own)
        fleet.add(site, "node", "--config", config, "--site", site, "--data", data, "--json")


def strict_context(pki: Path) -> ssl.SSLContext:
    """Return the context of a client of alice's that compares the host with the certificate, as curl does."""
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    context.load_cert_chain(pki / "saes" / "alice.pem", pki / "saes" / "alice.key")
    return context


def test_three_sites_two_twins_and_a_controller_on_six_hosts(tmp_path: Path) -> None:
    pki, config = tmp_path / "pki", tmp_path / "deployment.yaml"
    config.write_text(deployment_text(), encoding="utf-8")
    assert run_qanat("pki", "--config", str(config), "--out", str(pki)).returncode == 0
    with Fleet(tmp_path) as fleet:
        add_all(fleet, tmp_path, pki, str(config))
        fleet.wait()
        assert fleet.records["suzhou"]["url"].startswith("https://127.0.0.2:")
        status = f"{fleet.records['suzhou']['url']}/api/v1/keys/{fleet.sae('shanghai', 'bob')}/status"
        assert httpx.get(status, verify=strict_context(pki)).status_code == 200
        assert fleet.records["kunshan"]["url"] is None
        with fleet.client("suzhou", "alice", patience_s=50) as alice, fleet.client("shanghai", "bob") as bob:
            keys = alice.get_keys(fleet.sae("shanghai", "bob"), count=8, size_bits=256)
            mates = bob.get_keys_by_id(fleet.sae("suzhou", "alice"), [key.key_id for key in keys])
            assert [key.take() for key in keys] == [mate.take() for mate in mates]
            assert keys[0].route == ("suzhou", "kunshan", "shanghai")
        asked = ("doctor", "--config", str(config), "--data", str(tmp_path / "suzhou"), "--site", "suzhou", "--json")
        healthy = run_qanat(*asked)
        assert healthy.returncode == 0, healthy.stdout
        states = {one["subject"]: one["state"] for one in json.loads(healthy.stdout)["deployment"]}
        assert states["site shanghai, for applications"] == states["clock of site shanghai"] == "well"
        assert states["twin suzhou-kunshan, for its two sites"] == states["controller, for other processes"] == "well"
        fleet.kill("kunshan")
        ill = run_qanat(*asked)
        assert ill.returncode == 1
        states = {one["subject"]: one["state"] for one in json.loads(ill.stdout)["deployment"]}
        assert [subject for subject, state in states.items() if state not in ("well", "look")] == [
            "site kunshan, for other processes"
        ]
        left = [path.name for site in SITES for path in (tmp_path / site / "pki" / "links").glob("*.auth")]
        assert left == [], "each host has destroyed its own copy of the initial keys"


def test_what_cannot_be_is_said_with_a_remedy(tmp_path: Path) -> None:
    config = tmp_path / "deployment.yaml"

    def said(text: str, *command: str) -> str:
        config.write_text("format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\n" + text, encoding="utf-8")
        done = run_qanat(*command, "--config", str(config))
        assert done.returncode == 2
        return done.stderr

    assert "does not say which site runs here" in said("", "node")
    assert "did you mean kunshan" in said("", "node", "--site", "kunshn")
    assert "did you mean kunshan" in said("site: kunshn\n", "node")
    assert "did you mean kunshan-shanghai" in said("", "twin", "--link", "kunshan-shanghi")
    assert "make certificates with `qanat pki`" in said("", "node", "--site", "kunshan")
    assert "make certificates with `qanat pki`" in said("", "twin", "--link", "kunshan-shanghai")
    assert f"{config}:5" in said("controller:\n  hots: x\n", "controller")
    assert "no port says where" in said("sites:\n  kunshan: {host: 192.0.2.1}\n", "controller")
    assert "leave one out" in said("", "controller", "three-nodes")
    assert "not clear which site" in said("", "node", "three-nodes", "kunshan")
    data = str(tmp_path / "data")
    assert run_qanat("pki", "three-nodes", "--out", f"{data}/pki").returncode == 0
    (tmp_path / "data" / "pki" / "links" / "kunshan-shanghai.auth").unlink()
    assert "has no initial key of link 'kunshan-shanghai'" in said("", "node", "--site", "shanghai")


@pytest.mark.campaign
def test_a_site_that_was_zeroized_comes_back_with_new_initial_keys_while_the_others_run_on(tmp_path: Path) -> None:
    config, pki = tmp_path / "deployment.yaml", tmp_path / "data" / "pki"
    config.write_text("format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\nsite: suzhou\n", encoding="utf-8")
    assert run_qanat("pki", "three-nodes", "--out", str(pki)).returncode == 0
    with Fleet(tmp_path) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        for link in LINKS:
            fleet.add(link, "twin", "--config", str(config), "--link", link, "--json")
        for site in SITES:
            fleet.add(site, "node", "--config", str(config), "--site", site, "--json")
        fleet.wait()
        check_equal_keys(fleet)
        assert "stop the process" in run_qanat("node", "zeroize", "--config", str(config), "--yes").stderr
        fleet.kill("suzhou")
        done = run_qanat("node", "zeroize", "--config", str(config), "--yes")
        assert done.returncode == 0, done.stderr
        assert "suzhou: " in done.stderr
        assert "--new-key suzhou-kunshan" in done.stderr
        done = run_qanat("pki", "three-nodes", "--out", str(pki), "--new-key", "suzhou-kunshan")
        assert "suzhou-kunshan.auth" in done.stderr
        fleet.restart("suzhou")
        check_equal_keys(fleet)
        assert list((pki / "links").glob("*.auth")) == [], "kunshan has taken its copy in as well, and was not stopped"


def check_equal_keys(fleet: Fleet) -> None:
    """Have keys made from photons, and compare them at both ends."""
    with fleet.client("suzhou", "alice", patience_s=50) as alice, fleet.client("shanghai", "bob") as bob:
        keys = alice.get_keys(fleet.sae("shanghai", "bob"), count=8, size_bits=256)
        mates = bob.get_keys_by_id(fleet.sae("suzhou", "alice"), [key.key_id for key in keys])
        assert [key.take() for key in keys] == [mate.take() for mate in mates]


def test_a_process_with_the_certificate_of_another_does_not_start(tmp_path: Path) -> None:
    config, pki = tmp_path / "deployment.yaml", tmp_path / "data" / "pki"
    config.write_text("format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\n", encoding="utf-8")
    assert run_qanat("pki", "three-nodes", "--out", str(pki)).returncode == 0
    for suffix in ("pem", "key"):
        shutil.copy2(pki / "nodes" / f"shanghai.{suffix}", pki / "nodes" / f"suzhou.{suffix}")
        shutil.copy2(pki / "nodes" / f"shanghai.{suffix}", pki / "nodes" / f"controller.{suffix}")
        shutil.copy2(pki / "nodes" / f"shanghai.{suffix}", pki / "twins" / f"suzhou-kunshan.{suffix}")
    for command in (["node", "--site", "suzhou"], ["controller"], ["twin", "--link", "suzhou-kunshan"]):
        done = run_qanat(*command, "--config", str(config))
        assert done.returncode == 2
        assert "is the certificate of urn:qanat:three-nodes:kme:shanghai, not of" in done.stderr
    done = run_qanat("up", "three-nodes", "--data", str(tmp_path / "data"), "--port", "0")
    assert done.returncode == 2
    assert "is the certificate of urn:qanat:three-nodes:kme:shanghai, not of" in done.stderr
