"""Batches of keys before they leave their origin: what is made, for whom, and by which ways.

The keys of one job go to one target in one share or several, each on a way of its own, or to several targets over one
way each, all under the same ids. Each target's part is a batch: it arrives whole, or fails whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeAlias

from qanat.ground.clock import Deadline
from qanat.ground.identifiers import NodeId, SaePair, uuid4_from
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import BitRange, SecretBytes, SpentBits
from qanat.ground.tracing import Trace
from qanat.key_management.accounts import relay_bits
from qanat.key_management.asking import ToldWays
from qanat.key_management.context import Context
from qanat.key_management.end_check import CHECK_BYTES
from qanat.key_management.sealing import batch_check, key_batch, seal
from qanat.key_management.wire import PoolShortage, Relay, Route, Routes

Confirm: TypeAlias = Callable[[KeyIds], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class RelayJob:
    """A wish for ``count`` keys of ``size_bits`` shared by applications, here and at ``targets``.

    ``shares``: so many ways without a common relay they are to take, one share on each (to one target alone);
    ``max_hops``: no way may be longer. ``told``: the only ways that they may go, by target, where not every way will
    do. ``short``: ways for which key is being made, with what was short on them: they are not tried. ``deadline``:
    until when somebody waits for the keys; ``confirm``: makes those that have arrived suppliable, in place of the
    store: their caller takes them in the same transaction.
    """

    pair: SaePair
    targets: tuple[NodeId, ...]
    count: int
    size_bits: int
    trace: Trace
    shares: int = 1
    max_hops: int | None = None
    told: Mapping[NodeId, ToldWays] = field(default_factory=dict)
    short: Mapping[Route, tuple[PoolShortage, ...]] = field(default_factory=dict)
    deadline: Deadline | None = None
    confirm: Confirm | None = None

    @property
    def hop_bits(self) -> int:
        """What one hop of the batch, or of a share of it, takes."""
        return relay_bits(count=self.count, size_bits=self.size_bits)


@dataclass(frozen=True, slots=True)
class Batch:
    """Keys on their way to one target: a word and a body for each of their shares; and the check that it must say."""

    relay_id: str
    ids: KeyIds
    words: tuple[Relay, ...]
    bodies: tuple[bytes, ...]
    check: str
    trusted_routes: Routes
    """Its routes with all who know what goes over them."""

    @property
    def target(self) -> NodeId:
        return self.words[0].route[-1]

    @property
    def routes(self) -> Routes:
        return tuple(word.route for word in self.words)

    @property
    def first_hop_bits(self) -> int:
        """What the batch has taken here."""
        return sum(word.pad_range.num_bits for word in self.words)

    @property
    def hops(self) -> int:
        """Links whose key it takes; two where a satellite has announced a hop's key."""
        return sum(len(route) - 1 for route in self.trusted_routes)


def make_batches(
    context: Context, job: RelayJob, ways: Sequence[Routes], spent: Sequence[Sequence[SpentBits]]
) -> tuple[KeyBatch, list[Batch]]:
    """Make the keys of a job; return them, the caller's to wipe, and what is to be sent to each target.

    ``ways``: to each target, one for each share.
    ``spent``: the bits of each way's first hop, consumed here.
    """
    secrets = _secrets(context, job, ways)
    links = [context.network.link_between(*hop).link_id for routes in ways for way in routes for hop in pairwise(way)]
    blank = Relay(
        relay_id="",
        route=(),
        hop=1,
        link_id=links[0],
        pad_range=BitRange(()),
        master=job.pair.master,
        slave=job.pair.slave,
        ids_from=uuid4_from(context.entropy.public_bytes(16)),
        num_keys=job.count,
        size_bits=job.size_bits,
        origin=context.routes.origin(links),
        created_utc_s=context.clock.utc_s(),
        request_id=job.trace.request_id,
        tag="",
    )
    plain = [_shares_to(context, blank, routes) for routes in ways]
    longest = max(
        plain, key=lambda words: max(len(word.route) for word in words)
    )  # it is what the keys say of their way
    trusted = context.network.trusted_route
    hops = sum(len(trusted(way)) - 1 for routes in ways for way in routes)
    keys, batches = key_batch(longest, secrets[0], trusted=trusted, hops=hops), []
    for words, shares, bits in zip(plain, secrets, spent, strict=True):
        sealed = [seal(*share) for share in zip(words, shares, bits, strict=True)]
        check = batch_check(words, shares, keys.secret)
        batches.append(
            Batch(
                words[0].relay_id,
                keys.ids,
                tuple(word for word, _ in sealed),
                tuple(body for _, body in sealed),
                check,
                tuple(trusted(word.route) for word in words),
            )
        )
        for share in shares:
            share.wipe()
    return keys, batches


def _secrets(context: Context, job: RelayJob, ways: Sequence[Routes]) -> list[list[SecretBytes]]:
    """Return what goes over each way to each target: the same keys to all, and to each its own bits to compare by."""
    num_bytes, entropy = job.count * job.size_bits // 8, context.entropy
    first = [entropy.secret_bytes(num_bytes + CHECK_BYTES) for _ in ways[0]]
    others = [
        [SecretBytes(share.reveal()[:num_bytes] + entropy.secret_bytes(CHECK_BYTES).take()) for share in first]
        for _ in ways[1:]
    ]
    return [first, *others]


def _shares_to(context: Context, blank: Relay, routes: Routes) -> list[Relay]:
    """Return the words of one batch; pads and tags are yet to come."""
    relay_id = uuid4_from(context.entropy.public_bytes(16))
    return [
        replace(
            blank,
            relay_id=relay_id,
            route=route,
            link_id=context.links.towards(route[1]),
            share=number,
            shares=len(routes),
        )
        for number, route in enumerate(routes, start=1)
    ]
