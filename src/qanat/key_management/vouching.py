"""Whether this node's store is the newest of its line: its peers remember, so an older copy of it is found out.

Every start of a store begins an epoch under a fresh random name, and the store keeps the names of all its epochs. A
peer remembers durably the last epoch that it heard of. The greeting of a new epoch:

    epoch-opened (I am)  ->  epoch-known (of you I remember ...)
    epoch-follows (that is mine, this one follows)  ->  epoch-remembered

While stock is used, the epoch's name gets a mark every few seconds (``settings.mark_s``), and is greeted anew under it:
so the peers remember how far the store has come, and a copy that was taken while this very epoch ran has not come so
far. What a copy lacks that was used after the last mark is not noticed. A mark is told to the neighbours, and to those
with whom keys were shared at any time since the mark before it: a network of users who have all spoken with each other
at some time would else have nothing to do but to greet.

A node that is told of an epoch which is not its own has a store that was put back from an older copy (or zeroized): it
voids all its stock, begins an epoch above the one that it was told of, and says so to all its peers, who void their
halves. Until a neighbour has remembered this epoch, no pad of its link is spent; until the node at the other end has,
no key is supplied that was in stock when the epoch began. So whatever of an earlier epoch is used, the peer that it is
used with remembers an epoch after that one.

A peer that sleeps (``Courier.is_awake``) is greeted when something waits for its word, or when it wakes and greets. So
is another user whose light meets a user's own in switches alone, as that of forty others does: few of them ever share a
key, and to greet all would be two fifths of the work of a city that wakes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyShortage, StoreFailed, UnknownNode
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, SaePair, Topic, members_of
from qanat.ground.keys import Selection
from qanat.ground.stock import NamedEpoch
from qanat.key_management.context import Context
from qanat.key_management.wire import EpochFollows, EpochKnown, EpochOpened, EpochRemembered

VOUCHED = Topic("vouched")
NOTHING = NamedEpoch(0, "")
LONGEST_PAUSE_S = 15.0
"""Of one who remembers this epoch, and does not answer to a mark: it is greeted again after so long at the latest."""


class Vouching:
    """The greeting of epochs at one node, and who has vouched for this one."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._own = NOTHING
        self._restored_epoch = 0
        """The number of the epoch that began after the store's last restore; 0 without one."""
        self._known: dict[NodeId, NamedEpoch] = {}
        """What the store remembers of peers, as far as it was asked: a node that wakes is greeted by all its peers."""
        self._vouched: set[NodeId] = set()
        """Who remembers this epoch, at whatever mark."""
        self._remembered: set[NodeId] = set()
        """Who remembers its last mark."""
        self._called: set[NodeId] = set()
        """Peers for whose word something waits: they are greeted also where they sleep."""
        self._marked_monotonic_s = 0.0
        self._told: set[NodeId] = set()
        links = context.links
        self._neighbours = frozenset(links.peer(link_id) for link_id in links.link_ids)
        self._fellows = frozenset(self._users_behind_switches())
        self._wanted: set[NodeId] = set(self._neighbours)
        self._partners: frozenset[NodeId] = frozenset()
        """With whom keys were in stock when the epoch began."""
        self._sharing: frozenset[NodeId] = frozenset()
        """With whom keys were in stock at the last mark, or when the epoch began."""
        self._shared: set[NodeId] = set()
        """With whom keys were made since."""
        self._depended: set[NodeId] = set()
        """With whom keys were in stock, or were made, at any time since the process began."""
        self._pauses: dict[NodeId, tuple[float, float]] = {}
        """Of those who are greeted for a mark and have not answered: not before when, and how long a pause after."""
        self._greeted_monotonic_s: dict[NodeId, float] = {}
        self._was_found_out = False
        """Whether this process's store was found to be an older copy: then also who knows no epoch of it must hear."""

    # --- what others ask ---

    def is_vouched(self, peer: NodeId) -> bool:
        """Return whether a peer remembers this epoch; of this node itself, whether any neighbour does."""
        if peer == self._context.node:
            return not self._neighbours or not self._vouched.isdisjoint(self._neighbours)
        return peer in self._vouched

    @property
    def acquainted(self) -> list[NodeId]:
        """Those whom this node has greeted unless they sleep: neighbours, and who shares keys with it."""
        peers = sorted((self._neighbours | self._depended) - {self._context.node})
        return [peer for peer in peers if peer in self._called or self._is_greeted_unasked(peer)]

    def note_shared(self, nodes: Iterable[NodeId]) -> None:
        """Keys are being made that are shared with these nodes."""
        with_whom = set(nodes)
        self._shared |= with_whom
        self._depended |= with_whom

    async def wake(self, peers: Iterable[NodeId]) -> None:
        """Greet those of ``peers`` that sleep, which opens them, or have had no reason to be greeted so far."""
        for peer in sorted(peers):
            if peer not in self._called and not self._is_greeted_unasked(peer):
                self._called.add(peer)
                await self._greet(peer)

    async def wait(self, peer: NodeId, deadline: Deadline) -> bool:
        """Return whether a peer vouches for this epoch; waits until ``deadline`` for its word."""
        if not self.is_vouched(peer):
            await self.wake(self._neighbours if peer == self._context.node else {peer})
        while not self.is_vouched(peer) and not deadline.has_passed:
            await self._context.tasks.wait(VOUCHED, until_monotonic_s=deadline.monotonic_s)
        return self.is_vouched(peer)

    async def require(self, partner: NodeId, deadline: Deadline) -> None:
        """Raise KeyShortage when keys with ``partner`` were in stock at the start and it does not vouch in time."""
        courier = self._context.courier
        if partner in self._partners and not await self.wait(partner, deadline):
            retry_after_s = self._context.settings.wait_s
            if partner != self._context.node and courier.is_still_opening(partner):
                raise KeyShortage(
                    f"the key manager of {partner!r} is still being opened",
                    remedy="ask again in a moment, with the same request id where there is one",
                    retry_after_s=retry_after_s,
                )
            whom = (
                "no neighbour has yet"
                if partner == self._context.node
                else f"the key manager of {partner!r} has not yet"
            )
            raise KeyShortage(
                f"{whom} answered the greeting of this key manager, which has started anew",
                remedy="look whether it runs and can be reached; keys are given as soon as it answers",
                retry_after_s=retry_after_s,
            )

    # --- this node's own epoch ---

    async def open_epoch(
        self, *beside: Coroutine[Any, Any, Any], above: int = 0
    ) -> tuple[Mapping[SaePair, int], list[Any]]:
        """Begin an epoch under a fresh name, and look with whom there are keys in stock; raises StoreFailed.

        ``beside``: calls of the store that are made with it, in one commit. Return which keys were held before these,
        and what they returned.
        """
        context = self._context
        name = context.entropy.public_bytes(16).hex()
        beginning = context.store.open_epoch(name=name, above=above)
        number, self._restored_epoch, held, *results = await context.tasks.together(
            beginning, context.store.restored_epoch(), context.store.held_keys(), *beside
        )
        context.courier.epoch = number
        self._own = NamedEpoch(number, name)
        self._vouched.clear()
        self._remembered.clear()
        self._marked_monotonic_s = context.clock.monotonic_s()
        self._told.clear()
        self._pauses.clear()
        self._greeted_monotonic_s.clear()
        self._partners = self._sharing = self._partners_in(held)
        return held, results

    async def tick(self) -> None:
        """Greet again who has not answered, or may remember more of this store by now."""
        await self._mark()
        self._context.courier.look_who_sleeps(self._neighbours)
        for peer in sorted(self._wanted - self._remembered):
            if self._was_just_greeted(peer):
                continue  # its answer may be on its way
            if peer in self._called or (self._is_greeted_unasked(peer) and self._is_time_to_greet(peer)):
                await self._greet(peer)

    async def on_known(self, sender: NodeId, word: EpochKnown) -> None:
        """A peer tells what it remembers of this node: is that of this store?"""
        if not self._is_of_this_epoch(word.of):
            return  # an answer to the greeting of an earlier epoch
        store, known = self._context.store, NamedEpoch(word.number, word.name)
        restored_epoch = self._restored_epoch
        if known != NOTHING and known.number >= restored_epoch and not await store.is_own_epoch(known):
            await self._void_all(sender, known)
            return
        is_restored = known.number < restored_epoch and (known != NOTHING or self._was_found_out)
        if is_restored and sender not in self._told:  # it was found out before; this peer has yet to hear of it
            self._told.add(sender)
            await self._void_shared(sender, "the store of this node was put back from an older copy, or zeroized")
        own = self._own
        follows = EpochFollows(own.number, own.name, known.number, known.name, is_restored)
        await self._context.courier.send(sender, follows)

    async def on_remembered(self, sender: NodeId, word: EpochRemembered) -> None:
        if not self._is_of_this_epoch(word.name):
            return
        if word.name == self._own.name:
            self._remembered.add(sender)
            self._called.discard(sender)  # its later marks do not wake who has gone back to sleep
        self._vouched.add(sender)
        self._pauses.pop(sender, None)
        self._context.tasks.notify(VOUCHED)

    # --- the epochs of peers ---

    async def on_opened(self, sender: NodeId, word: EpochOpened) -> None:
        """A peer has begun an epoch: tell it what is remembered here of its last one."""
        known = await self._known_of(sender)
        if known == NamedEpoch(word.number, word.name):
            await self._context.courier.send(sender, EpochRemembered(word.name))
        else:
            await self._context.courier.send(sender, EpochKnown(known.number, known.name, word.name))
        if sender in self._wanted - self._vouched and not self._was_just_greeted(sender):
            await self._greet(sender)  # it has come up after the last greeting

    async def on_follows(self, sender: NodeId, word: EpochFollows) -> None:
        """A peer claims that its new epoch follows the one that is remembered here: remember the new one."""
        store = self._context.store
        known = await self._known_of(sender)
        new = NamedEpoch(word.number, word.name)
        if known != new:
            if known != NamedEpoch(word.after_number, word.after_name):
                return  # a late word; the peer greets again
            if word.restored:
                await self._void_shared(sender, f"the store of {sender} was put back from an older copy, or zeroized")
            await store.remember_peer(sender, new)
            self._known[sender] = new
        await self._context.courier.send(sender, EpochRemembered(word.name))

    # --- inside ---

    async def _known_of(self, peer: NodeId) -> NamedEpoch:
        """Return the last epoch of a peer that is remembered here."""
        if peer not in self._known:
            self._known[peer] = await self._context.store.peer_epoch(peer) or NOTHING
        return self._known[peer]

    async def _mark(self) -> None:
        """Mark the epoch's name when it is time for that and there was something to remember."""
        now_s = self._context.clock.monotonic_s()
        if now_s - self._marked_monotonic_s < self._context.settings.mark_s or not self._vouched:
            return
        own = self._own
        with contextlib.suppress(StoreFailed):  # a disk that is full is told of by whoever uses stock
            marked = await self._context.store.mark_epoch()
            if marked is not None and self._own is own:
                self._own, self._marked_monotonic_s = marked, now_s
                self._greeted_monotonic_s.clear()
                await self._choose_whom_to_tell()

    async def _choose_whom_to_tell(self) -> None:
        """After a mark: those go on being greeted who have not heard of the mark before, or share something that may
        have been used since. Who shares nothing can be given nothing by a copy."""
        node, before = self._context.node, self._sharing | self._shared
        late = self._wanted - self._remembered
        self._remembered.clear()
        self._shared = set()
        self._sharing = self._partners_in(await self._context.store.held_keys())
        self._wanted = {*self._neighbours, *late, *before, *self._sharing, *self._shared} - {node}

    def _users_behind_switches(self) -> Iterable[NodeId]:
        """Yield the neighbours with which this node, a user, has a link only while switches make one."""
        network, node = self._context.network, self._context.node
        links = network.links_of(node)
        lasting = {link.peer_of(node) for link in links if not network.joins_of(link)}
        if network.site(node).kind == "user":
            yield from (peer for peer in self._neighbours - lasting if network.site(peer).kind == "user")

    def _is_greeted_unasked(self, peer: NodeId) -> bool:
        """Return whether a peer is greeted though nothing waits for its word.

        By a store that was found out, all who are awake are, since they share what is void.
        """
        is_idle = peer in self._fellows and peer not in self._vouched and peer not in self._depended
        return (self._was_found_out or not is_idle) and self._context.courier.is_awake(peer)

    def _is_time_to_greet(self, peer: NodeId) -> bool:
        """Return whether a peer that nothing waits for is to be greeted. One that remembers this epoch, and not its
        last mark yet, is greeted ever more seldom until it answers: where all have much to do, greetings that come
        faster than their answers would keep it so."""
        if peer not in self._vouched:
            return True
        now_s, settings = self._context.clock.monotonic_s(), self._context.settings
        next_s, pause_s = self._pauses.get(peer, (now_s, settings.tick_s))
        if now_s < next_s:
            return False
        self._pauses[peer] = now_s + pause_s, min(2 * pause_s, LONGEST_PAUSE_S)
        return True

    def _partners_in(self, held: Iterable[SaePair]) -> frozenset[NodeId]:
        """Return the nodes with which the keys of these pairs are shared (this one for those of two applications here);
        they are greeted from now on."""
        node = self._context.node
        ends = [self._ends(pair) for pair in held]
        partners = frozenset(one for pair in ends for one in (pair - {node} or pair))
        self._wanted |= partners - {node}
        self._depended |= partners
        return partners

    def _is_of_this_epoch(self, name: str) -> bool:
        return self._own.has_lived_through(NamedEpoch(self._own.number, name))

    def _was_just_greeted(self, peer: NodeId) -> bool:
        """Return whether a peer was greeted, under this name, within the last tick: two who wake each other greet each
        other at once, and need not do so twice. What was lost is said again at the next tick."""
        greeted_s = self._greeted_monotonic_s.get(peer, float("-inf"))
        return self._context.clock.monotonic_s() - greeted_s < self._context.settings.tick_s

    async def _greet(self, peer: NodeId) -> None:
        self._greeted_monotonic_s[peer] = self._context.clock.monotonic_s()
        await self._context.courier.send(peer, EpochOpened(self._own.number, self._own.name))

    async def _void_all(self, witness: NodeId, known: NamedEpoch) -> None:
        """This store is an older copy: nothing in it may be used."""
        context, old = self._context, self._own
        links = frozenset(context.links.link_ids) | {pool.link_id for pool in await context.store.levels()}
        everything = Selection(links=links, all_keys=True, unconfirmed=True, keep_unused_initial=True)
        num_voided = await context.store.void(everything)
        await self.open_epoch(above=max(known.number, old.number))
        self._was_found_out = True
        applications = {site.node for site in map(context.network.site_of, context.network.saes)}
        self._wanted |= applications - {context.node}  # whoever shares keys with it: the copy may be older than they
        context.recorder.record(
            EventKind.STORE_RESTORED,
            witness=witness,
            remembered_epoch=known.number,
            opened_epoch=old.number,
            epoch=self._own.number,
            num_items=num_voided,
        )
        context.recorder.alarm(
            "store-restored",
            f"the key store was put back from an older copy: {witness} remembers epoch {known.number} of it,"
            " which it does not know; all its stock has been destroyed here, and is at the peers",
            "nothing is lost but stock; never restore key stores. A link without authentication reserve"
            " needs new initial keys at both ends",
        )
        await self.tick()

    async def _void_shared(self, peer: NodeId, why: str) -> None:
        """Destroy all stock that is shared with a peer: of its links, and of the keys of its applications."""
        context = self._context
        links = [link_id for link_id in context.links.link_ids if context.links.peer(link_id) == peer]
        pairs = [pair for pair in await context.store.held_keys() if peer in self._ends(pair)]
        shared = Selection(links=frozenset(links), pairs=frozenset(pairs), keep_unused_initial=True)
        if num_voided := await context.store.void(shared):
            context.recorder.record(EventKind.KEYS_VOIDED, num_items=num_voided, why=why)

    def _ends(self, pair: SaePair) -> frozenset[NodeId]:
        """Return the nodes of a pair, of several slaves each; without those whose applications the network no longer
        has."""
        network, nodes = self._context.network, set()
        for sae in (pair.master, *members_of(pair.slave)):
            with contextlib.suppress(UnknownNode):
                nodes.add(network.site_of(sae).node)
        return frozenset(nodes)
