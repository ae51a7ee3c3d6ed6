"""Links by fibre make key while the light of a satellite's pass is being drawn, though there is one worker for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from qanat.apps.bootstrap import Service
from qanat.apps.event_log import EventLog
from qanat.client import Client
from qanat.ground.network import parse_network

pytestmark = pytest.mark.slow

ISLE = """
format: qanat-network/1
name: isle
sites:
  - {name: house, kind: user, latitude_deg: 40.35, longitude_deg: 117.45}
  - {name: dish, kind: relay, latitude_deg: 40.3958, longitude_deg: 117.5775, ground_station: true}
  - name: bird
    kind: satellite
    elements: |
      1 41731U 16051A   16354.56913372  .00000384  00000-0  18801-4 0  9991
      2 41731  97.3698 268.1064 0013349 175.8929 309.0190 15.23916091 19164
links:
  - {name: house-dish, transmitter: house, receiver: dish, system: metro-40-i, loss_db: 6, length_km: 20}
downlinks:
  - {satellite: bird, station: dish, telescope: xinglong, altitude_m: 890}
applications:
  - {name: anna, site: house}
  - {name: bert, site: dish}
"""


def test_a_fibre_makes_key_while_a_pass_is_under_way(tmp_path: Path) -> None:
    network = parse_network(ISLE, source="isle")
    anna, bert = network.sae("anna"), network.sae("bert")

    async def scenario() -> None:
        with EventLog() as log:
            async with Service(network, tmp_path / "data", log=log) as up:
                await up.sky.plan()
                passing = asyncio.create_task(up.sky.next_pass())
                async with asyncio.timeout(120):
                    while not up.sky_pool.num_busy:  # noqa: ASYNC110  (a state of the pool, which has no event for it)
                        await asyncio.sleep(0.05)
                url, files = up.door_url(network.site_of(anna).node), up.place.sae_files("anna")
                with Client(url, tls=files, sae=anna, patience_s=60.0) as client:
                    keys = await asyncio.to_thread(lambda: client.get_keys(bert, count=1, size_bits=256))
                assert len(keys) == 1
                assert up.sky_pool.num_busy, "the pass has ended before the fibre made its key"
                passing.cancel()
                await asyncio.gather(passing, return_exceptions=True)

    asyncio.run(scenario())
