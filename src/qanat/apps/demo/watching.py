"""Looking on while the demonstration runs: levels of the pools, and how fast a door answers meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from qanat.apps.bootstrap import Service
from qanat.apps.door_probe import DoorProbe
from qanat.apps.report import (
    DoorLatency,
    PoolSample,
)
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import SaePair
from qanat.ground.network import PreparedKeys

SAMPLE_PERIOD_S = 0.25


def door_latency(probe: DoorProbe, events: Sequence[Event], site: str) -> DoorLatency | None:
    """Return how the door answered between the first order to make key and the moment at which it was stored."""
    moments = {
        kind: next((event.monotonic_s for event in events if event.kind is kind), None)
        for kind in (EventKind.GENERATION_ORDERED, EventKind.KEY_STORED)
    }
    begin_s, end_s = moments.values()
    if begin_s is None or end_s is None:
        return None
    took_s = sorted(answer.took_s for answer in probe.answers if begin_s <= answer.begun_monotonic_s <= end_s)
    if not took_s:
        return None
    middle, late = (took_s[min(len(took_s) - 1, int(share * len(took_s)))] for share in (0.5, 0.99))
    return DoorLatency(site=site, count=len(took_s), p50_s=middle, p99_s=late, most_s=took_s[-1])


async def count_prepared(service: Service, keys: PreparedKeys) -> int:
    network = service.network
    pair = SaePair(network.sae(keys.master), network.sae(keys.slave))
    return await service.stores[network.site_of(pair.master).node].count_keys(pair, size_bits=keys.size_bits)


def pool_name(keys: PreparedKeys) -> str:
    """Return what an end-to-end pool is called in pictures and on the screen."""
    return f"{keys.master} to {keys.slave}, {keys.size_bits} bits"


class PoolSampler:
    """Looks at the pools of every first end now and then, once more at the end; both ends hold the same."""

    def __init__(self, service: Service) -> None:
        self.samples: list[PoolSample] = []
        self._service = service

    async def __aenter__(self) -> PoolSampler:
        self._sampling = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sampling.cancel()
        await asyncio.gather(self._sampling, return_exceptions=True)
        if kind is None:
            await self._sample()

    async def _run(self) -> None:
        while True:
            await self._sample()
            await asyncio.sleep(SAMPLE_PERIOD_S)

    async def _sample(self) -> None:
        now_s, network = self._service.clock.monotonic_s(), self._service.network
        for link in network.links:
            levels = await self._service.stores[link.ends[0]].levels()
            stock = sum(
                level.available_bits
                for pool, level in levels.items()
                if pool.link_id == link.link_id and not pool.is_reserve
            )
            self.samples.append(PoolSample(now_s, link.name, stock))
        for keys in network.prepared_keys:
            num_bits = keys.size_bits * await count_prepared(self._service, keys)
            self.samples.append(PoolSample(now_s, pool_name(keys), num_bits, is_end_to_end=True))
