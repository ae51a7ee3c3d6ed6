"""Switches in a description: which links they can join, with which loss, and what cannot be wired."""

from __future__ import annotations

import pytest

from qanat.apps.network_islands import in_islands
from qanat.apps.networks import load_network
from qanat.ground.errors import NetworkFileError
from qanat.ground.network import Network, network_yaml, parse_network
from qanat.physics.channels import ALL_PASS_16, MOST_PORTS

TEXT = """\
format: qanat-network/1
name: n
sites:
  - {name: a, kind: user, latitude_deg: 40, longitude_deg: 116, equipment: transmitter}
  - {name: b, kind: user, latitude_deg: 40, longitude_deg: 116, direct_keys_only: true}
  - {name: c, kind: user, latitude_deg: 40, longitude_deg: 116, equipment: transmitter}
  - {name: d, kind: relay, latitude_deg: 40, longitude_deg: 116, equipment: receiver}
switches:
  - name: s
    latitude_deg: 40
    longitude_deg: 116
    system: metro-40-i
    num_ports: 4
    counted_as: city
    ports:
      - {site: a, loss_db: 1.5, length_km: 3}
      - {site: b, loss_db: 2.0, length_km: 4}
  - name: t
    latitude_deg: 40
    longitude_deg: 116
    system: metro-40-i
    insertion_loss_db: 0.5
    ports:
      - {site: c, loss_db: 2.5, length_km: 5}
      - {site: d, loss_db: 3.0, length_km: 6}
trunks:
  - {name: s-t, switches: [s, t], loss_db: 0.25, length_km: 1}
routers:
  - {name: r, latitude_deg: 40, longitude_deg: 116}
  - {name: q, latitude_deg: 41, longitude_deg: 116}
classical_links:
  - {name: r-q, routers: [r, q], length_km: 150}
applications:
  - {name: alice, site: a}
"""


def read(text: str = TEXT) -> Network:
    return parse_network(text, source="n.yaml")


def test_the_links_are_every_sender_with_every_detector() -> None:
    """a and c only send, d only detects, b does both; of two that can send, the port that comes first does."""
    network = read()
    assert [link.name for link in network.links] == ["a--b", "a--d", "c--b", "b--d", "c--d"]
    assert {link.counted_as for link in network.links if "s" in link.through} == {"city"}
    assert network.described_links == ()


@pytest.mark.parametrize(
    ("name", "loss_db", "length_km", "through"),
    [
        ("a--b", 1.5 + 1.0 + 2.0, 7, ("s",)),
        ("c--d", 2.5 + 0.5 + 3.0, 11, ("t",)),
        ("a--d", 1.5 + 1.0 + 0.25 + 0.5 + 3.0, 10, ("s", "t")),
        ("c--b", 2.5 + 0.5 + 0.25 + 1.0 + 2.0, 10, ("t", "s")),
    ],
)
def test_a_link_has_the_loss_of_its_fibres_switches_and_trunks(
    name: str, loss_db: float, length_km: float, through: tuple[str, ...]
) -> None:
    (link,) = (link for link in read().links if link.name == name)
    assert link.loss_db == pytest.approx(loss_db)
    assert link.length_km == pytest.approx(length_km)
    assert link.through == through


def test_a_switch_s_defaults_are_the_device_of_the_physics() -> None:
    switch = read().switches[0]
    assert switch.insertion_loss_db == ALL_PASS_16.insertion_loss_db
    assert switch.reconfiguration_s == ALL_PASS_16.reconfiguration_s
    assert read().switches[1].num_ports == ALL_PASS_16.num_ports == MOST_PORTS


def test_without_the_trunk_each_switch_joins_its_own() -> None:
    text = TEXT.replace("  - {name: s-t, switches: [s, t], loss_db: 0.25, length_km: 1}\n", "").replace("trunks:\n", "")
    text = text.replace(
        "switches:\n",
        "links:\n  - {name: l, transmitter: b, receiver: d, system: metro-40-i, loss_db: 9, length_km: 9}\nswitches:\n",
        1,
    )
    assert [link.name for link in read(text).links] == ["l", "a--b", "c--d"]


def test_links_that_share_a_port_or_a_trunk_cannot_run_at_once() -> None:
    network = read()
    kept = {link.name: network.kept_by(link) for link in network.links}
    assert kept["a--b"] == {"port a", "port b"}
    assert kept["a--d"] == {"port a", "port d", "trunk s-t"}
    together = {frozenset((one, other)) for one in kept for other in kept if not kept[one] & kept[other]}
    assert together == {frozenset({"a--b", "c--d"})}
    (fibre, *_) = load_network("three-nodes").links
    assert network.kept_by(fibre) == frozenset()


def test_written_and_read_again_it_is_the_same() -> None:
    assert read(network_yaml(read())) == read()
    assert Network.model_validate(read().model_dump()) == read()


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "remedy"),
    [
        ("num_ports: 4", "num_ports: 2", "  - name: s", "has 2 ports, and 2 sites and 1 trunk need 3", "move 1 of"),
        ("num_ports: 4", "num_ports: 17", "num_ports: 17", "17 is not less than or equal to 16", "16"),
        ("{site: d, loss", "{site: e, loss", "{site: e", "leads to 'e', no site", "there are a, b, c, d"),
        ("{site: d, loss", "{site: b, loss", "{site: b, loss_db: 3", "on a port of 's' and on one of 't'", "one port"),
        ("switches: [s, t]", "switches: [s, u]", "{name: s-t", "ends at 'u', no switch", "there are s, t"),
        ("switches: [s, t]", "switches: [s, s]", "{name: s-t", "both ends are the same switch", "two switches"),
        ("{name: b, kind: user, latitude_deg: 40", "{name: b, kind: user, latitude_deg: 41", "{site: b",
         "4 km of fibre for a way of 111.2 km", "coordinates"),
        ("{name: r-q, routers: [r, q]", "{name: r-q, routers: [r, p]", "{name: r-q", "ends at 'p', no router", "q, r"),
        ("length_km: 150", "length_km: 15", "{name: r-q", "15 km of fibre for a way of 111.2 km", "coordinates"),
        ("  - {name: r-q, routers: [r, q], length_km: 150}", "  []", "classical_links", "no classical link leads to q",
         "join every router"),
        ("longitude_deg: 116, equipment: receiver", "longitude_deg: 116, router: x, equipment: receiver", "router: x",
         "the router of 'd' is 'x'", "there are q, r"),
    ],
)  # fmt: skip
def test_what_cannot_be_wired_is_told_with_its_line(old: str, new: str, line: str, message: str, remedy: str) -> None:
    assert TEXT.count(old) == 1
    changed = TEXT.replace(old, new)
    with pytest.raises(NetworkFileError) as caught:
        read(changed)
    assert message in str(caught.value)
    assert remedy in caught.value.remedy
    assert caught.value.line is not None
    assert line in changed.splitlines()[caught.value.line - 1]


def test_a_link_needs_a_transmitter_at_one_end_and_a_receiver_at_the_other() -> None:
    link = "links:\n  - {name: l, transmitter: d, receiver: b, system: metro-40-i, loss_db: 9, length_km: 9}\n"
    with pytest.raises(NetworkFileError, match="needs a transmitter at 'd', which has a receiver only") as caught:
        read(TEXT.replace("switches:\n", link + "switches:\n", 1))
    assert "turn the link round" in caught.value.remedy


def test_a_user_of_direct_keys_only_needs_another_user_beside_it() -> None:
    text = TEXT.replace("      - {site: a, loss_db: 1.5, length_km: 3}\n", "")
    text = text.replace("      - {site: c, loss_db: 2.5, length_km: 5}\n", "")
    for name in "ac":
        text = "\n".join(line for line in text.splitlines() if f"name: {name}, kind" not in line) + "\n"
    with pytest.raises(NetworkFileError, match="'b' takes direct keys only, and no link joins it to another user"):
        read(text.replace("{name: alice, site: a}", "{name: alice, site: b}"))


def test_a_link_through_a_switch_cannot_be_made_up_in_the_file() -> None:
    link = (
        "links:\n  - {name: a--b, transmitter: a, receiver: b, system: metro-40-i, loss_db: 1, length_km: 1, "
        "through: [s]}\n"
    )
    with pytest.raises(NetworkFileError, match="goes through switches, but not as their ports have it"):
        read(TEXT.replace("switches:\n", link + "switches:\n", 1))


def test_two_parts_are_told_unless_satellites_join_them_at_stations() -> None:
    text = TEXT.replace("    switches: [s, t]", "").replace(
        "trunks:\n  - {name: s-t, switches: [s, t], loss_db: 0.25, length_km: 1}\n", ""
    )
    (told,) = in_islands(read(text))
    assert "in 2 parts that no link joins: 2 sites (a, b) and 2 sites (c, d)" in told.text
    for name in "bd":
        text = text.replace(f"{{name: {name}, kind", f"{{name: {name}, ground_station: true, kind")
    assert len(read(text).links) == 2
    assert not list(in_islands(read(text)))
