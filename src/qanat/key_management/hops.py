"""A node's part in relays that others began: take the keys out of one pad and put them under the next, or keep them.

A relay word is handled once. Whatever comes of it (the word to the next hop, or a verdict to the origin) is remembered,
and said again when the same word comes again: so lost words are cured by repeating the first one, and no repeated word
spends a bit. After a restart nothing is remembered, and the store refuses the bits: the origin hears of a failure.

A verdict goes to its origin by the direct line. Where the origin seems not to hear that one, it goes the way back as
well: each hop hands on what it hears from the hop after it. That is no weaker than the way itself: see ``verdicts``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from qanat.ground.clock import Deadline
from qanat.ground.errors import (
    AuthenticationFailed,
    BlockUnknown,
    FrameError,
    KeyManagementError,
    PadReused,
    PeerProtocolError,
    QanatError,
    RequestError,
    StaleEpoch,
    StoreFailed,
)
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, RequestId, SaeId, SaePair, members_of
from qanat.ground.key_ids import MAX_KEYS, KeyIds
from qanat.ground.keys import BitRange, PoolId, SecretBytes, Selection, Use
from qanat.ground.requirements import MAX_DISJOINT_ROUTES
from qanat.key_management.accounts import relay_bits
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.direct_keys import refuse_relay
from qanat.key_management.memory import forget_oldest
from qanat.key_management.multipath import Assembly
from qanat.key_management.pools import answers, missing_blocks, spend_for_hop
from qanat.key_management.quotas import QuotaReached, Quotas
from qanat.key_management.sealing import batch_check, check_shape, key_batch, seal, unseal
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import (
    BlocksMissing,
    Heard,
    PoolShortage,
    Relay,
    RelayDelivered,
    RelayFailed,
    RelayVoid,
    RelayVoided,
)

ANSWERS_KEPT_S = 60.0
"""A relay's answer is kept so long. An origin gives a batch up after some seconds and never repeats it; a word that
comes later than this finds its pads spent."""

UNHEARD_KEPT_S = 30.0
"""So long after an origin has repeated a word whose verdict it was told, verdicts to it go the way back as well, so
that not every batch has to be repeated."""


_ShareId: TypeAlias = tuple[str, int]
"""A relay and the number of the share."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """``peer``: to whom it is said. ``before``: the hop before this node, where the way back begins."""

    peer: NodeId
    before: NodeId
    word: Relay | RelayDelivered | RelayFailed
    body: bytes = b""


class _Silent(KeyManagementError):
    """The next node of a route does not answer."""

    def __init__(self, node: NodeId) -> None:
        super().__init__(
            f"{node!r}, the next node on the way, does not answer",
            remedy="bring it up again, or look at the line to it",
        )
        self.node = node


class _ComingUp(KeyManagementError):
    """The next node of a route is just coming up: the origin may try the same way again at once."""

    def __init__(self, node: NodeId) -> None:
        super().__init__(f"{node!r}, the next node on the way, is just coming up", remedy="ask again in a moment")


class RelayHops:
    """Handles relay words that arrive at this node."""

    def __init__(self, context: Context, vouching: Vouching) -> None:
        self._context = context
        self._vouching = vouching
        self._quotas = Quotas(context)
        self._answers: dict[_ShareId, _Answer | None] = {}  # None: being handled, or waiting for other shares
        self._answered: deque[tuple[float, _ShareId]] = deque()
        self._unheard_until_s: dict[NodeId, float] = {}
        """Origins that have not heard a verdict by the direct line."""
        self._voided: dict[tuple[NodeId, str], None] = {}  # origin and relay
        self._assembly = Assembly(context.network.trusted_route)

    @property
    def may_rest(self) -> bool:
        """Whether every share that came was answered, and none waits for its fellows."""
        return None not in self._answers.values()

    async def on_relay(self, heard: Heard, word: Relay) -> None:
        """Hand a batch on or keep it, and tell who must know; raises FrameError for a word that no peer may say."""
        check_shape(word, heard.body, sender=heard.sender, node=self._context.node)
        share = _share_id(word)
        if is_new := share not in self._answers:
            self._answers[share] = None
            if (found := await self._answer(heard, word)) is not None:
                self._answers[share] = found
            self._forget_answers(share)
        if answer := self._answers.get(share):
            await self._context.courier.send(answer.peer, answer.word, cause=heard.cause, body=answer.body)
            if self._goes_back(answer, is_repeated=not is_new and heard.sender == answer.before):
                await self._context.courier.send(answer.before, answer.word, cause=heard.cause)

    async def on_verdict(self, heard: Heard, word: RelayDelivered | RelayFailed) -> None:
        """Hand a verdict on that came by the way back, to the hop before this node; only the hop after it may say
        one."""
        for share in range(1, MAX_DISJOINT_ROUTES + 1):
            answer = self._answers.get((word.relay_id, share))
            if answer is not None and isinstance(answer.word, Relay) and answer.peer == heard.sender:
                await self._context.courier.send(answer.before, word, cause=heard.cause)

    def _goes_back(self, answer: _Answer, *, is_repeated: bool) -> bool:
        """Return whether an answer is a verdict that is to go the way back as well: its origin cannot be reached, or
        asks again for what it was told, or did so a while ago."""
        origin, now_s = answer.peer, self._context.clock.monotonic_s()
        if isinstance(answer.word, Relay) or answer.before == origin:
            return False
        if is_repeated:
            self._unheard_until_s.pop(origin, None)
            self._unheard_until_s[origin] = now_s + UNHEARD_KEPT_S
            forget_oldest(self._unheard_until_s)
        return now_s < self._unheard_until_s.get(origin, now_s) or not self._context.courier.is_reachable(origin)

    async def tick(self) -> None:
        """Forget shares whose fellows never came."""
        self._assembly.drop_older_than(self._context.clock.monotonic_s() - ANSWERS_KEPT_S)

    def _forget_answers(self, newest: _ShareId) -> None:
        """Keep answers, which may be large, for ANSWERS_KEPT_S: longer than any origin repeats a word."""
        now_s = self._context.clock.monotonic_s()
        self._answered.append((now_s, newest))
        while self._answered[0][0] < now_s - ANSWERS_KEPT_S:
            self._answers.pop(self._answered.popleft()[1], None)

    async def on_void(self, heard: Heard, word: RelayVoid) -> None:
        """Destroy a batch that its origin, and nobody else, holds in doubt, and refuse it should it come later.

        Raises FrameError for more keys than a batch has.
        """
        if word.num_keys > MAX_KEYS:
            raise FrameError(f"relay {word.relay_id}: {word.num_keys} keys")
        self._voided[heard.sender, word.relay_id] = None
        forget_oldest(self._voided)
        self._assembly.drop(heard.sender, word.relay_id)
        try:
            num_voided = await self._void(heard.sender, KeyIds(word.ids_from, word.num_keys))
        except StoreFailed:
            return  # the origin asks again
        if num_voided:
            why = f"{heard.sender} holds the relay in doubt"
            self._context.recorder.record(
                EventKind.KEYS_VOIDED, cause=heard.cause, relay_id=word.relay_id, num_keys=num_voided, why=why
            )
        await self._context.courier.send(heard.sender, RelayVoided(word.relay_id))

    async def _answer(self, heard: Heard, word: Relay) -> _Answer | None:
        """Return what is to be said, None while other shares of the batch are awaited."""
        try:
            refuse_relay(self._context.network, word.route, SaePair(word.master, word.slave))
            keys = await self._unseal(heard, word)
            try:
                if word.hop < len(word.route) - 1:
                    return await self._hand_on(word, keys)
                return await self._arrive(word, keys)
            finally:
                keys.wipe()
        except StaleEpoch:
            raise
        except PoolShort as fault:
            return self._failure(heard, word, fault, short=fault.short)
        except QuotaReached as fault:
            return self._failure(heard, word, fault, is_full=True)
        except _Silent as fault:
            return self._failure(heard, word, fault, silent=fault.node)
        except _ComingUp as fault:
            return self._failure(heard, word, fault, is_coming=True)
        except (KeyManagementError, PeerProtocolError, RequestError) as fault:
            return self._failure(heard, word, fault)

    async def _unseal(self, heard: Heard, word: Relay) -> SecretBytes:
        """Return the keys of the batch. The pad is spent first: its tag's key is part of it."""
        context = self._context
        if context.links.towards(heard.sender) != word.link_id:
            raise PeerProtocolError(f"link {word.link_id!r} does not join {heard.sender!r} and {context.node!r}")
        self._refuse_wrong_origin(word)
        # the store may be an older copy, in which bits of the past are unspent: then an old word would open again
        if not await self._vouching.wait(heard.sender, self._last()):
            raise KeyManagementError(f"{heard.sender!r} has not yet vouched for the store of this node")
        pool = PoolId(word.link_id, heard.sender)
        try:
            spent = await context.store.spend_range(pool, word.pad_range, use=Use.RELAY)
        except BlockUnknown:
            await self._tell_missing(heard.sender, word.pad_range)
            raise
        return unseal(word, heard.body, spent)

    async def _tell_missing(self, peer: NodeId, bits: BitRange) -> None:
        missing = await missing_blocks(self._context, bits)
        if missing:
            await self._context.courier.send(peer, BlocksMissing(missing))

    def _refuse_wrong_origin(self, word: Relay) -> None:
        """Raise when keys that travel as a device's would pass a twin: nothing degrades unsaid."""
        links = [word.link_id]
        if word.hop < len(word.route) - 1:
            links.append(self._context.links.towards(word.route[word.hop + 1]))
        if word.origin == "device" and any(self._context.links.origin(link_id) == "twin" for link_id in links):
            raise PeerProtocolError(
                "keys labelled as made by devices came to a link with a twin",
                remedy="wait for the controller's next table of routes, which says where twins are",
            )

    async def _hand_on(self, word: Relay, keys: SecretBytes) -> _Answer:
        context = self._context
        following = word.route[word.hop + 1]
        patience_s = context.settings.reach_patience_s
        if not await answers(context, self._vouching, following, patience_s=patience_s, last=self._last()):
            raise _ComingUp(following) if context.courier.is_coming(following) else _Silent(following)
        spent = await spend_for_hop(
            context,
            following=following,
            num_bits=relay_bits(count=word.num_keys, size_bits=word.size_bits),
            request_id=word.request_id or RequestId(word.relay_id),
        )
        sealed, body = seal(replace(word, hop=word.hop + 1, link_id=spent.pool.link_id), keys, spent)
        return _Answer(following, word.route[word.hop - 1], sealed, body)

    def _last(self) -> Deadline:
        """Return until when a neighbour that comes up is waited for; most origins have given the batch up by then."""
        return Deadline.after(self._context.clock, self._context.settings.relay_timeout_s)

    async def _arrive(self, word: Relay, keys: SecretBytes) -> _Answer | None:
        """Take in a batch, or a share of one; keys are kept when all of their shares are here."""
        if word.shares == 1:
            words: Sequence[Relay] = (word,)
            shares: Sequence[SecretBytes] = (keys,)
        else:
            whole = self._assembly.add(word, keys, now_s=self._context.clock.monotonic_s())
            if whole is None:
                return None
            words, shares = whole
        try:
            check = await self._keep(words, shares)
        finally:
            for share in shares:
                share.wipe()
        delivered = RelayDelivered(word.relay_id, check)
        for one in words:
            self._answers[_share_id(one)] = _Answer(one.route[0], one.route[-2], delivered)
        return self._answers[_share_id(word)]

    async def _keep(self, words: Sequence[Relay], shares: Sequence[SecretBytes]) -> str:
        """Keep the keys for the slave, durable when this returns; return their check for the origin.

        Raises PadReused for key ids that were here.
        """
        word, relay = words[0], (words[0].route[0], words[0].relay_id)
        await self._quotas.check(SaePair(word.master, word.slave), more=word.num_keys)
        self._vouching.note_shared(word.route[:1])
        batch = key_batch(words, shares, trusted=self._context.network.trusted_route)
        check = batch_check(words, shares, batch.secret)
        try:
            if relay not in self._voided:
                await self._context.store.put_batch(batch, entitled=self._slaves_here(word), confirmed=True)
        finally:
            batch.secret.wipe()
        if relay in self._voided:  # the origin gave up, perhaps while these keys were written
            await self._void(word.route[0], batch.ids)
            raise KeyManagementError("the origin has given this batch up")
        return check

    def _slaves_here(self, word: Relay) -> frozenset[SaeId]:
        """Return those of the batch's slaves that this node serves; raises PeerProtocolError, UnknownNode."""
        network, node = self._context.network, self._context.node
        slaves = frozenset(slave for slave in members_of(word.slave) if network.site_of(slave).node == node)
        if not slaves:
            raise PeerProtocolError(f"a batch for {word.slave!r} ended at {node!r}, which serves no such application")
        return slaves

    async def _void(self, origin: NodeId, ids: KeyIds) -> int:
        """Destroy keys that came from ``origin``; those of others are not its to destroy."""
        return await self._context.store.void(Selection(batches=frozenset({ids}), key_origin=origin))

    def _failure(
        self,
        heard: Heard,
        word: Relay,
        fault: QanatError,
        *,
        short: tuple[PoolShortage, ...] = (),
        silent: NodeId | None = None,
        is_full: bool = False,
        is_coming: bool = False,
    ) -> _Answer:
        self._context.recorder.record(
            EventKind.RELAY_FAILED,
            cause=heard.cause,
            request_id=word.request_id,
            relay_id=word.relay_id,
            node_at_fault=self._context.node,
            why=_explain(fault),
        )
        # without the remedy: the master's node says its own, and a caller who hears two does not know which is right
        why = _explain(fault, with_remedy=False)
        failed = RelayFailed(word.relay_id, self._context.node, why, short, silent, word.share, is_full, is_coming)
        return _Answer(word.route[0], word.route[word.hop - 1], failed)


def _share_id(word: Relay) -> _ShareId:
    return word.relay_id, word.share


def _explain(fault: QanatError, *, with_remedy: bool = True) -> str:
    """Return a fault in words that do not depend on the store's."""
    if isinstance(fault, PadReused):
        return "the pads of this hop were spent before: this node has restarted since, or the word is a replay"
    if isinstance(fault, BlockUnknown):
        return "the two ends of the link do not hold the same blocks; the odd ones are being destroyed"
    if isinstance(fault, AuthenticationFailed):
        return f"altered on the way to this node: {fault.message}"
    return str(fault) if with_remedy else fault.message
