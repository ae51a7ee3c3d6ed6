"""Three sites as processes of their own, between whose users one line takes bytes and gives none, both ways."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.fleet import Fleet, free_port, run_qanat
from interop.test_hung_processes import until
from interop.test_sites_by_themselves import check_equal_keys

pytestmark = pytest.mark.slow

SITES = ("suzhou", "kunshan", "shanghai")
USERS = {"suzhou": "shanghai", "shanghai": "suzhou"}
"""Who relays keys to whom, by kunshan."""
LINKS = ("suzhou-kunshan", "kunshan-shanghai")


class HeldProxy:
    """Passes on what comes to its port, until it is held: then it takes bytes, ends no line, and gives nothing."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._passes = threading.Event()
        self._passes.set()
        self._open: list[socket.socket] = [self._listening]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def hold(self) -> None:
        self._passes.clear()

    def let_go(self) -> None:
        self._passes.set()

    def close(self) -> None:
        self.let_go()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join(10)
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                self._open.append(caller)
                try:
                    called = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # nobody listens there yet, or any more
                    caller.close()
                    continue
                self._open.append(called)
                for ends in ((caller, called), (called, caller)):
                    threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(2**16):
                self._passes.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def configs(folder: Path, proxies: dict[str, HeldProxy], ports: dict[str, int], twins: dict[str, int]) -> None:
    """Write what each site is told of the others: of the far user, where its proxy is."""
    controller, doors = free_port(), {site: free_port() if site in USERS else 0 for site in SITES}
    for reader in (*SITES, "all"):
        places = {
            site: proxies[site].port if site in USERS and USERS[site] == reader else ports[site] for site in SITES
        }
        sites = {site: {"port": places[site], "door_port": doors[site]} for site in SITES}
        (folder / f"{reader}.yaml").write_text(
            f"""format: qanat-deployment/1
network: three-nodes
data: data
controller: {{port: {controller}}}
sites: {json.dumps(sites)}
twins: {json.dumps({link: {"port": port} for link, port in twins.items()})}
""",
            encoding="utf-8",
        )


def told(folder: Path, kind: str) -> Sequence[dict[str, object]]:
    """Return what all events of this kind say."""
    lines = [line for path in folder.rglob("events.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return [event["data"] for event in map(json.loads, lines) if event["kind"] == kind]


def test_keys_are_given_while_the_line_between_both_users_is_held(tmp_path: Path) -> None:
    ports, twins = {site: free_port() for site in SITES}, {link: free_port() for link in LINKS}
    proxies = {site: HeldProxy(ports[site]) for site in USERS}
    configs(tmp_path, proxies, ports, twins)
    assert run_qanat("pki", "three-nodes", "--out", str(tmp_path / "data" / "pki")).returncode == 0
    try:
        with Fleet(tmp_path) as fleet:
            fleet.add("controller", "controller", "--config", str(tmp_path / "all.yaml"), "--json")
            for link in LINKS:
                fleet.add(link, "twin", "--config", str(tmp_path / "all.yaml"), "--link", link, "--json")
            for site in SITES:
                fleet.add(site, "node", "--config", str(tmp_path / f"{site}.yaml"), "--site", site, "--json")
            fleet.wait()
            check_equal_keys(fleet)
            assert told(tmp_path, "verdicts-came-round") == []
            for proxy in proxies.values():
                proxy.hold()
            for _ in range(4):
                check_equal_keys(fleet)
            until(lambda: bool(told(tmp_path, "verdicts-came-round")))
            (row,) = told(tmp_path, "verdicts-came-round")
            assert (row["target"], row["route"]) == ("shanghai", ["suzhou", "kunshan", "shanghai"])
            for proxy in proxies.values():
                proxy.let_go()
            check_equal_keys(fleet)
    finally:
        for proxy in proxies.values():
            proxy.close()
