"""A site that runs by itself and whose certificate is revoked: it says so itself, with the command that helps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interop.fleet import Fleet, run_qanat
from qanat.adapters.tls import TlsFiles
from qanat.client import Client
from qanat.ground.errors import KeyShortage

pytestmark = pytest.mark.slow

WAIT_S = 60.0
DEPLOYMENT = "format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\n"
LINKS = ("suzhou-kunshan", "kunshan-shanghai")
SITES = ("suzhou", "kunshan", "shanghai")
RENEW = "`qanat pki renew suzhou`"


def alarms(folder: Path, who: str) -> dict[str, dict[str, Any]]:
    """Return what was told last of each code at a site or the controller."""
    text = (folder / "data" / who / "events.jsonl").read_text(encoding="utf-8")
    events = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
    return {event["data"]["code"]: event["data"] for event in events if event["kind"] == "alarm"}


def until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.1)


def why_no_key(fleet: Fleet, folder: Path) -> KeyShortage:
    """Ask at the site's door, as an application to which the list of revoked certificates has not come."""
    app = fleet.records["suzhou"]["applications"]["alice"]
    files = TlsFiles(Path(app["certificate"]), Path(app["key"]), folder / "ca.pem")
    with Client(app["url"], tls=files, sae=app["sae"], patience_s=0) as alice:
        while True:
            try:
                alice.get_keys(fleet.sae("shanghai", "bob"), count=100, size_bits=1024)
            except KeyShortage as refused:
                return refused


def test_a_site_whose_certificate_is_revoked_says_so_and_goes_on_with_a_new_one(tmp_path: Path) -> None:
    config, pki = tmp_path / "deployment.yaml", tmp_path / "data" / "pki"
    config.write_text(DEPLOYMENT, encoding="utf-8")
    assert run_qanat("pki", "three-nodes", "--out", str(pki)).returncode == 0
    shutil.copy2(pki / "ca.pem", tmp_path)
    with Fleet(tmp_path) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        for link in LINKS:
            fleet.add(link, "twin", "--config", str(config), "--link", link, "--json")
        for site in SITES:
            fleet.add(site, "node", "--config", str(config), "--site", site, "--json")
        fleet.wait()
        with fleet.client("suzhou", "alice", patience_s=50) as alice:
            alice.get_keys(fleet.sae("shanghai", "bob"), count=2, size_bits=256)
        assert run_qanat("pki", "revoke", "suzhou", "--out", str(pki)).returncode == 0
        own = {"certificate-ended", "module-away", "controller-silent"}
        until(lambda: own <= alarms(tmp_path, "suzhou").keys() and "node-silent" in alarms(tmp_path, "controller"))
        for code in own:
            told = alarms(tmp_path, "suzhou")[code]
            assert told["text"].startswith("the certificate of suzhou was revoked"), told
            assert RENEW in told["remedy"]
        of_controller = alarms(tmp_path, "controller")
        assert "renew" in of_controller["node-silent"]["remedy"]
        away = of_controller.get("module-away")
        assert away is None or RENEW in away["remedy"], "it has heard of that before it cut the line, or has not"
        refused = why_no_key(fleet, tmp_path)
        assert "the certificate of suzhou was revoked, so no other site speaks with this one" in refused.message
        assert RENEW in refused.remedy
        assert run_qanat("pki", "renew", "suzhou", "--out", str(pki)).returncode == 0
        until(lambda: all(alarms(tmp_path, "suzhou")[code].get("cleared") for code in own))
        until(lambda: bool(alarms(tmp_path, "controller")["node-silent"].get("cleared")))
