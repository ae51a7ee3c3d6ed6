"""A twin of an optical switch: what it joins, how long it takes, and what it does when it cannot."""

from __future__ import annotations

import asyncio

import pytest

from qanat.apps.networks import load_network
from qanat.ground.errors import SwitchFailed
from qanat.ground.network import Network, Port, Switch, SwitchJoin
from qanat.quantum_layer.twin_switch import TwinSwitch, light_passes
from simulation.switched_network import NETWORK


class StoodClock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def utc_s(self) -> float:
        return self.now_s

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        self.now_s = max(self.now_s, monotonic_s)


def a_switch(clock: StoodClock) -> TwinSwitch:
    ports = tuple(Port(site=f"u{number}", loss_db=1, length_km=1) for number in range(1, 5))
    switch = Switch(
        name="s", latitude_deg=0, longitude_deg=0, system="x", num_ports=5, reconfiguration_s=0.25, ports=ports
    )
    return TwinSwitch(switch, clock=clock)


def test_it_takes_its_time_and_joins_each_port_with_one_other() -> None:
    clock = StoodClock()
    switch = a_switch(clock)
    asyncio.run(switch.join(1, 2))
    asyncio.run(switch.join(3, 4))
    assert clock.now_s == 0.5
    assert switch.joins(2, 1)
    assert switch.joins(3, 4)
    asyncio.run(switch.join(4, 3))
    assert clock.now_s == 0.5, "it stands so already"
    asyncio.run(switch.join(2, 3))
    assert clock.now_s == 0.75
    assert [switch.joins(*ports) for ports in ((1, 2), (3, 4), (2, 3))] == [False, False, True]


def test_one_that_is_stuck_says_so_and_lets_no_light_pass_where_it_has_left() -> None:
    clock = StoodClock()
    switch = a_switch(clock)
    asyncio.run(switch.join(1, 2))
    switch._stuck = lambda: "no power"
    with pytest.raises(SwitchFailed, match="'s' did not come to join ports 2 and 3: no power"):
        asyncio.run(switch.join(2, 3))
    assert not switch.joins(1, 2)
    assert not switch.joins(2, 3)


@pytest.mark.parametrize("ports", [(0, 1), (1, 6), (2, 2)])
def test_ports_that_it_has_not_are_refused(ports: tuple[int, int]) -> None:
    with pytest.raises(SwitchFailed, match="cannot join ports"):
        asyncio.run(a_switch(StoodClock()).join(*ports))


def joins(network: Network, name: str) -> tuple[SwitchJoin, ...]:
    (link,) = (link for link in network.links if link.name == name)
    return network.joins_of(link)


def test_what_switches_must_join_goes_by_ports_then_trunks_in_the_order_of_the_file() -> None:
    assert joins(NETWORK, "r--d1") == (SwitchJoin("s1", (1, 2)),)
    assert joins(NETWORK, "u2--r") == (SwitchJoin("s2", (2, 3)), SwitchJoin("s1", (4, 1)))
    assert joins(NETWORK, "r-q") == ()


def test_light_passes_when_all_switches_on_the_way_stand_for_it() -> None:
    clock = StoodClock()
    switches = {switch.name: TwinSwitch(switch, clock=clock) for switch in NETWORK.switches}
    way = joins(NETWORK, "u2--r")
    asyncio.run(switches["s1"].join(4, 1))
    assert not light_passes(switches, way)
    asyncio.run(switches["s2"].join(2, 3))
    assert light_passes(switches, way)
    assert light_passes(switches, ())


@pytest.mark.parametrize("name", ["nature2021", "one-switch"])
def test_every_port_that_a_packaged_network_needs_is_one_of_its_switch_and_links_that_share_none_share_no_port(
    name: str,
) -> None:
    network = load_network(name)
    by_port: dict[tuple[str, int], set[str]] = {}
    for link in network.links:
        for join in network.joins_of(link):
            assert all(1 <= port <= network.switches_by_name[join.switch].num_ports for port in join.ports)
            for port in join.ports:
                kept = network.kept_by(link)
                shared = by_port.setdefault((join.switch, port), set(kept))
                shared &= kept
    assert all(by_port.values()), "whatever uses a port keeps the same thing for it"
