"""The whole backbone, photon level and real distillation at both ends of every span, against real time.

Every span makes whole blocks while all workers are busy. A span that kept a worker for W seconds over L seconds of its
light needs W / L of a worker to go on in real time. The sum over all spans is what the backbone needs; the workers that
there are, over that sum, are the seconds of network that pass per second. So no span is ahead of another in the figure,
and none is left out of it.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from qanat.adapters.process_pool import ProcessPool
from qanat.adapters.system import SystemEntropy, system_chance
from qanat.benchmarks.rows import Row
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.data import read_text
from qanat.ground.errors import QuantumLayerError
from qanat.ground.identifiers import OrderId
from qanat.ground.network import Link, Network, parse_network
from qanat.ground.orders import LinkQuality
from qanat.ground.ports import Job, KernelPool
from qanat.quantum_layer.block_job import LinkRun
from qanat.quantum_layer.link_job import distil_link, warm_up
from qanat.quantum_layer.reports import BlockReport, FaultReport, decode_report

NETWORK = "beijing-shanghai"
HEADING = "backbone"
GOAL = 1.0
BLOCKS_PER_SPAN = 2
CLOSE_GRACE_S = 5.0


@dataclass(slots=True)
class Span:
    """One span and how far its light has come: seconds of its own time, pulses, and bits sifted from them; and for how
    long it kept a worker."""

    link: Link
    num_blocks: int = 0
    busy_s: float = 0.0
    link_time_s: float = 0.0
    pulses: float = 0.0
    sifted_bits: int = 0
    secret_bits: int = 0
    is_at_work: bool = False

    @property
    def workers_needed(self) -> float:
        """Workers that the span needs to go on in real time."""
        return self.busy_s / self.link_time_s


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark if it is named."""
    if "backbone" in names:
        yield asyncio.run(_backbone())


def backbone_spans(network: Network) -> list[Span]:
    """Return the spans that are counted as backbone."""
    return [Span(link) for link in network.links if link.counted_as == HEADING]


async def _backbone() -> Row:
    """Let every span make its blocks, then weigh the workers' time against the light's."""
    network = parse_network(read_text("networks", f"{NETWORK}.yaml"), source=NETWORK)
    spans = backbone_spans(network)
    cores = len(os.sched_getaffinity(0))
    one = await _reference(spans)
    wall_s = await _shine(spans, num_workers=cores)
    pulses, sifted = sum(span.pulses for span in spans), sum(span.sifted_bits for span in spans)
    secret = sum(span.secret_bits for span in spans)
    return Row(
        name="backbone",
        rate=cores / sum(span.workers_needed for span in spans),
        unit="s of network / s",
        goal=GOAL,
        reference_name="one worker, the spans of mean loss alone, scaled to all 31",
        reference_rate=one,
        note=(
            f"{len(spans)} spans on {cores} cores: {pulses / wall_s:.2e} pulses, {sifted / wall_s / 1e6:.1f} Mbit of "
            f"sifted key and {secret / wall_s / 1e6:.2f} Mbit of secret key a second; whole blocks, keys compared"
        ),
    )


async def _reference(spans: Sequence[Span]) -> float:
    """Return what one worker alone would reach, from blocks of the span whose loss is nearest to the mean."""
    mean_db = sum(span.link.loss_db for span in spans) / len(spans)
    middle = Span(min((span.link for span in spans), key=lambda link: abs(link.loss_db - mean_db)))
    await _shine([middle], num_workers=1)
    return 1 / middle.workers_needed / len(spans)


async def _shine(spans: Sequence[Span], *, num_workers: int) -> float:
    """Run the spans on a pool of workers until each has made BLOCKS_PER_SPAN.

    Returns the wall time; workers are started and warm before it counts.
    """
    pool = ProcessPool(num_workers)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(pool.close, grace_s=CLOSE_GRACE_S)
        await asyncio.gather(*(pool.run(Job(warm_up, (SystemEntropy(), system_chance()))) for _ in range(num_workers)))
        begin_s = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(num_workers):
                group.create_task(_keep_at_work(spans, pool))
        return time.perf_counter() - begin_s


async def _keep_at_work(spans: Sequence[Span], pool: KernelPool) -> None:
    """One worker's part: a block of a span that has made the fewest, again and again."""
    while behind := [span for span in spans if span.num_blocks < BLOCKS_PER_SPAN and not span.is_at_work]:
        span = min(behind, key=lambda span: span.num_blocks)
        span.is_at_work = True
        begin_s = time.perf_counter()
        await _make_block(span, pool)
        span.busy_s += time.perf_counter() - begin_s
        span.num_blocks += 1
        span.is_at_work = False


async def _make_block(span: Span, pool: KernelPool) -> None:
    """Make one block; raises QuantumLayerError when an end has failed or the two keys differ."""
    entropy, link = SystemEntropy(), span.link
    pads = entropy.secret_bytes(SESSION_PAD_BITS // 8).take()
    run = LinkRun(
        link_id=link.link_id,
        order_id=OrderId("benchmark"),
        ends=link.ends,
        system=link.system,
        loss_db=link.loss_db,
        chance=system_chance(),
        entropy=entropy,
        pads=(pads, pads),
    )
    keys: list[bytes] = []
    job: Job[bytes] = Job(distil_link, (run,))
    stream: AsyncIterator[bytes] = pool.stream(job)
    async with aclosing(stream) as reports:  # type: ignore[type-var]
        async for data in reports:
            match decode_report(data):
                case LinkQuality(progress=1.0) as figures:
                    _count(span, figures)
                case BlockReport(block=block):
                    keys.append(block.bits.take())
                case FaultReport() as fault:
                    raise QuantumLayerError(f"span {link.name}: {fault.text}", remedy=fault.remedy)
    if len(keys) != 2 or keys[0] != keys[1]:
        raise QuantumLayerError(f"span {link.name}: the two ends hold different keys", remedy="report this fault")


def _count(span: Span, figures: LinkQuality) -> None:
    span.link_time_s += figures.link_time_s
    span.pulses += figures.details["link_slots"]
    span.sifted_bits += figures.sifted_bits
    span.secret_bits += int(figures.details["secret_bits"])
