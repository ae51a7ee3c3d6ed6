"""A ring whose keys are shared over both of its ways, of real processes: a relay of one way is killed while keys are
drawn, and whoever draws them sees no error, since the other way lives."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from interop.live import running_network, running_site
from interop.load import Load, check_books
from interop.test_node_command import check_keys, until
from interop.test_ring_relay_killed import ONE, RELAY, RING, WAYS, take
from qanat.apps.networks import load_network
from qanat.ground.errors import QanatError
from qanat.ground.network import SharingOfPair, SharingRules
from qanat.ground.network.writing import network_yaml

pytestmark = pytest.mark.campaign

OTHER_WAY = ("north", "northwest", "southwest", "south")
CALLS_AFTERWARDS = 10


def test_while_a_relay_of_one_shared_way_dies_keys_are_drawn_without_an_error(tmp_path: Path) -> None:
    rules = SharingRules(pairs=(SharingOfPair(master="alice", slave="bob", weight=2),))
    plan, data, file, load = load_network(RING), tmp_path / "data", tmp_path / "shared.yaml", Load()
    plan = plan.model_copy(update={"sharing": rules})
    file.write_text(network_yaml(plan), encoding="utf-8")
    routes: list[tuple[str, ...]] = []
    faults: list[QanatError] = []
    is_over = threading.Event()
    with running_network(data, str(file), apart=[RELAY]) as network, running_site(data, RELAY, str(file)) as relay:

        def draw() -> None:
            with network.client("alice") as alice, network.client("bob") as bob:
                while not (is_over.is_set() or faults):
                    try:
                        routes.append(take(network, load, alice, bob, ONE)[0].route)
                    except QanatError as fault:
                        faults.append(fault)
                    time.sleep(0.05)

        drawing = threading.Thread(target=draw)
        drawing.start()
        try:
            until(lambda: bool(faults) or set(routes) == WAYS, "keys go over both ways")
            relay.kill()
            killed = len(routes)
            until(lambda: bool(faults) or len(routes) > killed + CALLS_AFTERWARDS, "keys go on")
        finally:
            is_over.set()
            drawing.join()
    assert not faults
    assert set(routes[killed + 1 :]) == {OTHER_WAY}, "but for a call that was under way"
    check_keys(load)
    check_books(data, load, nodes=plan.nodes)
