"""The two ends of a link whose key is made elsewhere: the one that takes new keys, and the one that takes the same."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qanat.adapters.block_exchange import (
    AGREED,
    CHECKED,
    KEPT,
    OFFER,
    REFUSED,
    BlockTags,
    Offer,
    read_number,
    read_offer,
    read_tag,
    read_text,
)
from qanat.adapters.exchanged_module import ExchangedModule, OpenOrder
from qanat.adapters.key_sources import SourceFault, SourceKey, SpentBefore
from qanat.ground.errors import AuthenticationFailed, FrameError, PeerProtocolError, QanatError, StoreFailed
from qanat.ground.events import Json
from qanat.ground.identifiers import OrderId
from qanat.ground.messages import Message
from qanat.ground.network.modules import MIN_BLOCK_BITS

POLL_S = 0.25
"""Between two questions to a source that has no key."""
RETRY_S = 1.0
"""Between two tries with a source that does not answer."""
RESEND_S = 1.0
ANSWER_PATIENCE_S = 30.0
"""So long the other end may be silent, during a restart of its own perhaps."""
FOLLOWER_MARGIN_S = 60.0
MAX_HALVES = 64
"""Whose answers are remembered for a leader that did not hear them."""
ALTERED = "look for who alters the line between the two sites, or whether the two ends began with different pads"
DIFFERENT = "look whether the devices (or files) at the two ends are a pair; nothing of this block was used"


class OrderFailed(PeerProtocolError):
    """Why an order ends; stays in these modules."""


class LeadingModule(ExchangedModule):
    """The transmitter's end."""

    async def work(self, opened: OpenOrder) -> None:
        """Make the order's blocks one after the other."""
        fault: str | None = None
        remedy = ""
        try:
            for number in range(opened.order.num_blocks):
                if opened.is_stopped:
                    return
                await self._make_block(opened, number)
        except (SourceFault, PeerProtocolError, StoreFailed) as failure:
            fault, remedy = failure.message, failure.remedy
            if isinstance(failure, SourceFault):
                self.alarms.raise_for(failure)
            await self.clock.sleep_until(self.clock.monotonic_s() + self.source.hold_off_s)
        await self.end(opened, fault, remedy, tells_peer=True)

    async def hear(self, opened: OpenOrder, message: Message) -> None:
        opened.answers[message.kind, message.read("number", read_number)] = message
        self.tasks.notify(opened.topic)

    async def _make_block(self, opened: OpenOrder, number: int) -> None:
        tags = opened.next_tags()
        keys = await self._gather(opened)
        if not keys:
            return  # it was stopped
        key_ids = tuple(key.key_id for key in keys)
        num_bits = sum(key.secret.num_bits for key in keys)
        offer = Offer(self.link.link_id, opened.order.order_id, number, key_ids, num_bits)
        try:
            await self._agree(opened, offer, tags, keys)
        except BaseException:
            for key in keys:
                key.secret.wipe()
            raise

    async def _agree(self, opened: OpenOrder, offer: Offer, tags: BlockTags, keys: list[SourceKey]) -> None:
        answer = await self._ask(
            opened,
            OFFER,
            (CHECKED, REFUSED),
            offer.number,
            body=offer.body,
            num_bits=offer.num_bits,
            tag=tags.offer(offer).hex(),
        )
        if answer.kind == REFUSED:
            await self._on_refused(offer, answer)
        bits = b"".join(key.secret.reveal() for key in keys)
        try:
            tags.check_block(offer, bits, read_tag(answer))
        except AuthenticationFailed:
            text = f"the two ends of link {self.link.name} were given different keys under the same ids"
            self.alarms.raise_one("keys-differ", text, DIFFERENT)
            raise OrderFailed(text, remedy=DIFFERENT) from None
        self.keep(opened, offer, keys)
        # the block is this end's now, whatever becomes of the last word: the key managers find out who holds it
        await self._ask(opened, AGREED, (KEPT,), offer.number, tag=tags.agreed(offer).hex())

    async def _on_refused(self, offer: Offer, answer: Message) -> None:
        text, remedy = answer.read("why", read_text), answer.read("remedy", read_text)
        if answer.read("is_spent", bool):
            await self.source.forget(offer.key_ids)
        else:
            self.alarms.raise_one("peer-refuses-keys", f"{self.peer}: {text}", remedy)
        raise OrderFailed(f"{self.peer} cannot take its half of a block: {text}", remedy=remedy)

    async def _gather(self, opened: OpenOrder) -> list[SourceKey]:
        """Return the keys of a block, fewer when no more come; an empty list when the order was stopped meanwhile."""
        keys: list[SourceKey] = []
        waited_since_s = self.clock.monotonic_s()
        while len(keys) < self.source.keys_per_block and not opened.is_stopped:
            new, pause_s = await self._try_source(self.source.keys_per_block - len(keys), waited_since_s)
            if new:
                keys += new
                waited_since_s = self.clock.monotonic_s()
            elif self._is_enough(keys, waited_since_s):
                break
            else:
                await self.clock.sleep_until(self.clock.monotonic_s() + pause_s)
        if opened.is_stopped:
            for key in keys:
                key.secret.wipe()
            return []
        return keys

    def _is_enough(self, keys: Sequence[SourceKey], waited_since_s: float) -> bool:
        """Return whether a smaller block of what there is serves better than waiting for the rest."""
        is_slow = self.clock.monotonic_s() - waited_since_s > self.source.slow_after_s
        return is_slow and sum(key.secret.num_bits for key in keys) >= MIN_BLOCK_BITS

    async def _try_source(self, count: int, waited_since_s: float) -> tuple[Sequence[SourceKey], float]:
        """Return new keys, or none and how long to wait; raises SourceFault when waiting has lasted too long."""
        source = self.source
        waited_s = self.clock.monotonic_s() - waited_since_s
        try:
            new = await source.take_new(count)
        except SourceFault as fault:
            if not fault.passes or waited_s > source.patience_s:
                raise
            self.alarms.raise_for(fault)
            return (), RETRY_S
        if new:
            self.alarms.source_answers()
        elif waited_s > source.slow_after_s:
            slow = self._too_slow(waited_s)
            if waited_s > source.patience_s:
                raise slow
            self.alarms.raise_for(slow)
        return new, POLL_S

    def _too_slow(self, waited_s: float) -> SourceFault:
        is_device = self.source.protocol != "key-files"
        return SourceFault(
            f"no new key of link {self.link.name} came within {waited_s:.0f} s at {self.node}",
            code="device-slow" if is_device else "key-files-empty",
            remedy="look at the devices' alarms: light, fibre, and whether their rate fits the demand"
            if is_device
            else "put new key files into the folders of both ends",
        )

    async def _ask(
        self, opened: OpenOrder, kind: str, answers: tuple[str, ...], number: int, *, body: bytes = b"", **fields: Json
    ) -> Message:
        """Say a word until one of these answers comes; raises OrderFailed when none does."""
        deadline_s = self.clock.monotonic_s() + ANSWER_PATIENCE_S
        while not opened.is_stopped and self.clock.monotonic_s() < deadline_s:
            await self.say(kind, opened.order.order_id, {"number": number, **fields}, body=body)
            until_s = self.clock.monotonic_s() + RESEND_S
            while self.clock.monotonic_s() < until_s and not opened.is_stopped:
                for answer in answers:
                    if (answer, number) in opened.answers:
                        return opened.answers[answer, number]
                await self.tasks.wait(opened.topic, until_monotonic_s=until_s)
        raise OrderFailed(
            "the order was stopped" if opened.is_stopped else f"the other end, {self.peer}, does not answer",
            remedy=f"look whether the site {self.peer} runs, and can be reached at its port for devices",
        )


@dataclass(slots=True)
class _Half:
    """This end's half of a block: at work until there is an ``answer``; ``is_kept`` once both ends agree."""

    offer: Offer
    tags: BlockTags
    keys: list[SourceKey] = field(default_factory=list, repr=False)
    answer: tuple[str, dict[str, Json]] | None = None
    is_kept: bool = False

    def wipe(self) -> None:
        for key in self.keys:
            key.secret.wipe()
        self.keys.clear()


class FollowingModule(ExchangedModule):
    """The receiver's end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._halves: OrderedDict[tuple[OrderId, int], _Half] = OrderedDict()

    async def work(self, opened: OpenOrder) -> None:
        """Wait until the leader has done its part; what it says is acted on in ``hear``."""
        order_id, patience_s = opened.order.order_id, self.source.patience_s + FOLLOWER_MARGIN_S
        while opened.made < opened.order.num_blocks and not opened.is_ended:
            until_s = opened.began_monotonic_s + patience_s
            if (
                not await self.tasks.wait(opened.topic, until_monotonic_s=until_s)
                and until_s < self.clock.monotonic_s()
            ):
                remedy = f"look whether the site {self.peer} runs"
                await self.end(opened, f"the other end, {self.peer}, was silent", remedy, tells_peer=True)
        if opened.made == opened.order.num_blocks:
            await self.end(opened, None, "", tells_peer=False)
        for (of_order, _), half in self._halves.items():
            if of_order == order_id:
                half.wipe()

    async def hear(self, opened: OpenOrder, message: Message) -> None:
        number = message.read("number", read_number)
        half = self._halves.get((opened.order.order_id, number))
        if message.kind == AGREED and half is not None and half.keys:
            await self._on_agreed(opened, half, message)
        elif message.kind == OFFER and half is None:
            self._on_offer(opened, read_offer(message, link_id=self.link.link_id), read_tag(message))
        elif half is not None and half.answer is not None:
            await self._say_again(half, message)

    async def hear_unknown(self, message: Message) -> None:
        """Answer again what was answered while the order was open here, and refuse what never was."""
        number, order_id = message.read("number", read_number), OrderId(message.read("order_id", read_text))
        half = self._halves.get((order_id, number))
        if half is not None and half.answer is not None:
            await self._say_again(half, message)
        elif message.kind == OFFER:
            why = "this order has ended here, or was never begun"
            refusal: dict[str, Json] = {
                "number": number,
                "why": why,
                "remedy": "nothing: the next order",
                "is_spent": False,
            }
            await self.say(REFUSED, order_id, refusal)

    async def _say_again(self, half: _Half, message: Message) -> None:
        """Answer a word that came again: its answer was lost, or is late."""
        assert half.answer is not None
        kind, fields = half.answer
        if message.kind == (AGREED if half.is_kept else OFFER):
            await self.say(kind, half.offer.order_id, fields)

    def _on_offer(self, opened: OpenOrder, offer: Offer, tag: bytes) -> None:
        if offer.number != opened.made or not opened.pads:
            raise FrameError(f"block {offer.number} of order {offer.order_id} is offered after {opened.made}")
        half = _Half(offer, opened.next_tags())
        self._halves[offer.order_id, offer.number] = half
        while len(self._halves) > MAX_HALVES:
            self._halves.popitem(last=False)
        self.tasks.start(self._take(opened, half, tag), name=f"{self.module_id}: takes block {offer.number}")

    async def _take(self, opened: OpenOrder, half: _Half, tag: bytes) -> None:
        """Take the keys that the other end has, and answer with the tag of their bits, or why that cannot be."""
        offer = half.offer
        try:
            half.tags.check_offer(offer, tag)
            half.keys = list(await self.source.take_by_ids(offer.key_ids))
            bits = b"".join(key.secret.reveal() for key in half.keys)
            if 8 * len(bits) != offer.num_bits:
                raise OrderFailed(f"{offer.num_bits} bits were offered, and are {8 * len(bits)} here", remedy=DIFFERENT)
        except AuthenticationFailed:
            self.alarms.raise_one("exchange-altered", f"{self.peer}: an offer with a wrong tag", ALTERED)
            half.answer = self._refusal(offer, OrderFailed("the tag of the offer is wrong here", remedy=ALTERED))
        except (SourceFault, StoreFailed, OrderFailed) as fault:
            if isinstance(fault, SourceFault) and not isinstance(fault, SpentBefore):
                self.alarms.raise_for(fault)
            half.answer = self._refusal(offer, fault)
        else:
            self.alarms.source_answers()
            half.answer = (CHECKED, {"number": offer.number, "tag": half.tags.block(offer, bits).hex()})
        if half.answer[0] == REFUSED:
            half.wipe()
        opened.began_monotonic_s = self.clock.monotonic_s()
        await self.say(half.answer[0], offer.order_id, half.answer[1])

    def _refusal(self, offer: Offer, fault: QanatError) -> tuple[str, dict[str, Json]]:
        is_spent = isinstance(fault, SpentBefore)
        return REFUSED, {
            "number": offer.number,
            "why": fault.message,
            "remedy": fault.remedy,
            "is_spent": is_spent,
        }

    async def _on_agreed(self, opened: OpenOrder, half: _Half, message: Message) -> None:
        try:
            half.tags.check_agreed(half.offer, read_tag(message))
        except AuthenticationFailed as fault:
            self.alarms.raise_one("exchange-altered", f"{self.peer}: {fault.message}", ALTERED)
            await self.end(opened, "the word that the ends agree has a wrong tag", ALTERED, tells_peer=True)
            return
        self.keep(opened, half.offer, half.keys)
        half.keys.clear()
        half.is_kept = True
        half.answer = (KEPT, {"number": half.offer.number})
        await self.say(KEPT, half.offer.order_id, {"number": half.offer.number})
        self.tasks.notify(opened.topic)
