"""A small network with two switches: a relay and users on their ports, two of whom take direct keys only."""

from __future__ import annotations

from typing import Any

from qanat.ground.identifiers import NodeId, SaeId
from qanat.ground.network import Network, parse_network
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import GivenKeys
from qanat.simulation.world import World

TEXT = """\
format: qanat-network/1
name: switched
sites:
  - {name: r, kind: relay, latitude_deg: 40, longitude_deg: 116}
  - {name: d1, kind: user, latitude_deg: 40, longitude_deg: 116, direct_keys_only: true}
  - {name: d2, kind: user, latitude_deg: 40, longitude_deg: 116, direct_keys_only: true}
  - {name: u1, kind: user, latitude_deg: 40, longitude_deg: 116, equipment: transmitter}
  - {name: u2, kind: user, latitude_deg: 40, longitude_deg: 116, equipment: transmitter}
  - {name: q, kind: relay, latitude_deg: 40, longitude_deg: 116}
  - {name: w, kind: user, latitude_deg: 40, longitude_deg: 116}
links:
  - {name: r-q, transmitter: r, receiver: q, system: metro-40-i, loss_db: 3, length_km: 10}
  - {name: q-w, transmitter: q, receiver: w, system: metro-40-i, loss_db: 3, length_km: 10}
switches:
  - name: s1
    latitude_deg: 40
    longitude_deg: 116
    system: metro-40-i
    ports:
      - {site: r, loss_db: 1, length_km: 3}
      - {site: d1, loss_db: 1, length_km: 3}
      - {site: u1, loss_db: 1, length_km: 3}
  - name: s2
    latitude_deg: 40
    longitude_deg: 116
    system: metro-40-i
    reconfiguration_s: 0.025
    ports:
      - {site: d2, loss_db: 1, length_km: 3}
      - {site: u2, loss_db: 1, length_km: 3}
trunks:
  - {name: s1-s2, switches: [s1, s2], loss_db: 1, length_km: 2}
applications:
  - {name: dora, site: d1}
  - {name: dirk, site: d2}
  - {name: ursula, site: u1}
  - {name: udo, site: u2}
  - {name: rose, site: r}
  - {name: willi, site: w}
"""
"""The two transmitters u1 and u2 reach each other over r alone; w hangs on the relay q by fibre."""

NETWORK = parse_network(TEXT, source="switched.yaml")
DORA, DIRK, URSULA, UDO, ROSE, WILLI = NETWORK.saes
R, Q, D1, D2, U1, U2, W = (NodeId(name) for name in ("r", "q", "d1", "d2", "u1", "u2", "w"))


def new_world(network: Network = NETWORK, *, seed: int = 1, **options: Any) -> World:
    world = World(network, chance=SeededChance(seed), **options)
    world.start()
    return world


def give(world: World, master: SaeId, slave: SaeId, **more: Any) -> GivenKeys:
    wish = {"count": 2, "size_bits": 256, "patience_s": 40.0, **more}
    node = world.network.site_of(master).node
    return world.run(world.call(node, lambda manager: manager.get_keys(master=master, slave=slave, **wish)))


def fetch(world: World, given: GivenKeys, slave: SaeId) -> list[bytes]:
    ids, master = [key.key_id for key in given.keys], given.keys[0].pair.master
    node = world.network.site_of(slave).node
    keys = world.run(world.call(node, lambda manager: manager.get_keys_by_id(caller=slave, master=master, key_ids=ids)))
    return [key.secret.reveal() for key in keys]


def secrets(given: GivenKeys) -> list[bytes]:
    return [key.secret.reveal() for key in given.keys]
