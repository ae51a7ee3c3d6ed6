"""The services of one application, with an event loop: send files and texts, and receive them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from qanat.adapters.buffer_line import BufferLine, LaterLine, dial
from qanat.adapters.datagrams import open_datagrams
from qanat.adapters.fax_pages import pages_workplace, write_pages
from qanat.adapters.mailbox import Mailbox, OutgoingText
from qanat.adapters.outgoing import OutgoingFile
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.client import Etsi014Client
from qanat.ground.errors import BadParameter, ChannelClosed, ChannelError, KeyManagementError, QanatError
from qanat.ground.identifiers import SaeId
from qanat.ground.ports import KeySupply
from qanat.services import conference, fax, file_delivery, texts
from qanat.services.call import LONGEST_S, CallReport
from qanat.services.ciphers import PadQuote, Suite, quote_pad
from qanat.services.conference import ConferenceReport, check_people
from qanat.services.conversation import Conversation, Party, RefusedForNow, Terms, calling
from qanat.services.directory import Contact
from qanat.services.fax import DeliveredFax
from qanat.services.file_delivery import Delivery, Progress, SentWhole
from qanat.services.file_names import file_name_for_all
from qanat.services.group_texts import SealedForGroup, seal_for_group
from qanat.services.texts import Text, deliver_texts
from qanat.users.attending import attend
from qanat.users.call import Wire
from qanat.users.call_line import place_call, take_call
from qanat.users.conference import ConferenceEnd
from qanat.users.conferring import Convener, new_conference
from qanat.users.line_keys import GetPsk
from qanat.users.notices import Say
from qanat.users.patience import NO_FURTHER, Limit, Patience, begun_in
from qanat.users.people import People
from qanat.users.speaking import CallMedia
from qanat.users.supply import ClientSupply, KeyManagerLost, TellingSupply

KEY_PATIENCE_S = 20.0
"""How long one call for keys may wait at the key manager; services ask again until their own patience ends."""
FAX_NAME_CHARACTERS = 60
ANY_HOST = "0.0.0.0"  # noqa: S104 - what comes in is opened only if the one we called has sealed it
GROUP_PATIENCE_S = 5.0
"""So long a key of all is waited for before each is told a text under a key of its own."""
LEAST_GROUP = 2
PAUSE_S = 1.0
"""Between two tries to reach a recipient."""


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that a recipient has whole, under ``name``."""

    recipient: str
    name: str
    size_bytes: int
    sent_bytes: int
    sha256: str
    num_keys: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class TextReport:
    """What became of a text: who has it since when (UTC), for whom it waits, and what else than their absence kept it
    from them at the last try."""

    text_id: str
    delivered: Mapping[str, float]
    waiting: tuple[str, ...]
    fault: QanatError | None = None


def nobody_told(_: str) -> None:
    """Take a word about how it goes, and tell nobody."""


class UserServices:
    """One application's services; an async context manager. See ``User`` for programs without an event loop."""

    def __init__(self, people: People, *, terms: Terms | None = None, supply: KeySupply | None = None) -> None:
        """``supply``: where keys come from; by default the door that the identity names."""
        self.people = people
        self.terms = terms or Terms()
        self.clock = SystemClock()
        me = people.me
        self._client: Etsi014Client | None = None
        if supply is None:
            is_wait_for_pad = self.terms.suite is Suite.ONE_TIME_PAD and self.terms.pad_wait_s > 0
            held_s = min(KEY_PATIENCE_S, self.terms.pad_wait_s if is_wait_for_pad else self.terms.patience_s)
            self._client = Etsi014Client(me.door, tls=me.tls, sae=me.sae, kme=me.kme, patience_s=held_s)
            supply = ClientSupply(self._client)
        self.party = Party(me.sae, supply, self.clock, SystemEntropy())
        self.mailbox = Mailbox(me.home)
        self.open_wire: Callable[[str], Awaitable[Wire]] = open_datagrams
        self._delivering = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections to the key manager."""
        if self._client is not None:
            await self._client.close()

    async def quote_pad(self, recipient: str, *, content_bytes: int) -> PadQuote:
        """Return what a one-time pad for so much would take, and what the network has in stock for it."""
        (contact, *_) = self.people.members(recipient)
        return await quote_pad(self.party.supply, contact.sae, content_bytes=content_bytes, num_records=1)

    async def send(
        self,
        path: Path,
        recipient: str,
        *,
        patience_s: float = 600.0,
        on_progress: Callable[[Progress], None] | None = None,
        say: Say = nobody_told,
    ) -> list[SentFile]:
        """Send a file to a contact, or to each of a group in turn, and return when all have it whole.

        A break, on either side, is waited for as long as ``patience_s``, anew where the recipient has got more of it
        since; then ChannelError. So is a recipient that cannot take it now (RefusedForNow). Until it begins, all waits
        take ``longest_s`` together. The next call goes on where this one stopped. Raises what ``deliver_file`` raises.
        """
        members = self.people.members(recipient)
        return [await self._send(path, contact, patience_s, on_progress, say) for contact in members]

    async def fax(
        self,
        path: Path,
        recipient: str,
        *,
        patience_s: float = 600.0,
        on_progress: Callable[[Progress], None] | None = None,
        say: Say = nobody_told,
    ) -> list[DeliveredFax]:
        """Send the pages of a PDF, TIFF or PNG to a contact, or to each of a group in turn: in black and white.

        Returns the delivery reports when all have read all pages. Raises BadParameter for what is no page, and what
        ``send`` raises. A fax that failed begins anew.
        """
        members = self.people.members(recipient)
        with pages_workplace(self.people.me.home / "faxes") as folder:
            pages = folder / f"{file_name_for_all(path.stem)[:FAX_NAME_CHARACTERS]}.tiff"
            num_pages = await asyncio.to_thread(
                write_pages,
                path,
                pages,
                page_dots=fax.PAGE_DOTS,
                dots_per_inch=fax.DOTS_PER_INCH,
                most_pages=fax.MOST_PAGES,
            )
            reports = []
            for contact in members:
                sent = await self._send(
                    pages, contact, patience_s, on_progress, say, service=fax.SERVICE, notes=folder / "notes"
                )
                reports.append(
                    DeliveredFax(
                        recipient=sent.recipient,
                        name=sent.name,
                        num_pages=num_pages,
                        size_bytes=sent.size_bytes,
                        sha256=sent.sha256,
                        num_keys=sent.num_keys,
                        duration_s=sent.duration_s,
                        confirmed_utc_s=self.clock.utc_s(),
                    )
                )
            return reports

    async def call(
        self,
        recipient: str,
        media: CallMedia | None = None,
        *,
        seconds_s: float | None = None,
        stop: asyncio.Event | None = None,
        say: Say = nobody_told,
    ) -> CallReport:
        """Call one contact and talk for ``seconds_s``, or until ``stop`` is set, the other side hangs up, or it gives
        no sign of life for ``LOST_S``. ``say``: is told that nothing gets through one way while the call goes on, and
        that it does again.

        Returns what this end saw. Raises BadParameter for a group and for a one-time pad, ChannelError where nobody
        answers, also where ``stop`` is set before, RefusedByPeer, KeyShortage when no fresh key came before the present
        one was over.
        """
        contact, *others = self.people.members(recipient)
        if others:
            raise BadParameter(f"{recipient!r} is a group; a call is between two", remedy="hold a conference: confer()")
        async with self.line_to(contact, self.terms) as line, self._wire(ANY_HOST) as wire:
            return await place_call(
                self.party,
                line,
                wire,
                contact,
                media or CallMedia(),
                terms=self.terms,
                seconds_s=seconds_s,
                stop=stop or asyncio.Event(),
                say=say,
            )

    async def answer_call(
        self,
        talk: Conversation,
        media: CallMedia,
        *,
        host: str,
        hang_up: asyncio.Event | None = None,
        begun: Callable[[], None] = lambda: None,
        say: Say = nobody_told,
    ) -> CallReport:
        """Answer a call: ``talk`` is with a caller whose service is ``call.SERVICE``; returns when it is over.

        ``hang_up``: ends it when set. ``begun``: is called once it lasts. ``say``: as for ``call``.
        """
        name, hang_up = self.people.directory.name_of(talk.peer), hang_up or asyncio.Event()
        async with self._wire(host) as wire:
            return await take_call(self.party, talk, wire, media, name=name, hang_up=hang_up, begun=begun, say=say)

    async def confer(
        self,
        recipients: Sequence[str],
        media: CallMedia | None = None,
        *,
        seconds_s: float | None = None,
        stop: asyncio.Event | None = None,
        say: Say = nobody_told,
    ) -> ConferenceReport:
        """Hold a conference with contacts and groups for ``seconds_s``, or until ``stop`` is set or all have left.

        Who cannot be reached, or is lost, is tried again while it lasts. ``say``: is told who comes and goes, and whose
        datagrams do not come. Raises BadParameter for more than eight people and for a one-time pad, UnknownNode,
        ChannelClosed where nobody comes, KeyShortage.
        """
        contacts = list({one.sae: one for name in recipients for one in self.people.members(name)}.values())
        check_people([one.name for one in contacts], suite=self.terms.suite)
        async with self._wire(ANY_HOST) as wire:
            end = self._conference_end(
                wire, media or CallMedia(), conference=new_conference(self.party.entropy), terms=self.terms, say=say
            )
            make_call = functools.partial(calling, self.party, service=conference.SERVICE, terms=self.terms)
            convener = Convener(self.people, self.line_to, end, make_call, say=say)

            def is_over() -> bool:
                is_long = end.speaking_s() >= (LONGEST_S if seconds_s is None else seconds_s)
                return is_long or (stop is not None and stop.is_set())

            await end.talk(lambda: convener.run(contacts, is_over))
            return end.report(convener.away())

    async def answer_conference(
        self,
        talk: Conversation,
        media: CallMedia,
        *,
        host: str,
        leave: asyncio.Event,
        begun: Callable[[], None] = lambda: None,
        say: Say = nobody_told,
    ) -> ConferenceReport:
        """Be a member of a conference until its caller ends it, or ``leave`` is set; returns when it is over.

        ``begun``: is called once this end has joined. ``say``: is told whose datagrams do not come, and whether its own
        do not.
        """
        caller = self.people.directory.name_of(talk.peer)
        async with self._wire(host) as wire:
            context, terms = talk.hello.context, talk.terms

            def end_of(name: str) -> ConferenceEnd:
                life_s = context.key_life_s
                return self._conference_end(wire, media, conference=name, terms=terms, say=say, key_life_s=life_s)

            me, clock = self.party.sae, self.clock
            return await attend(talk, end_of, me=me, clock=clock, leave=leave, begun=begun, name=caller, say=say)

    async def text(self, recipient: str, body: str, *, patience_s: float = 5.0) -> TextReport:
        """Put a text into the outbox, try for ``patience_s`` to deliver it, and return how it stands.

        What could not be delivered waits: for the next call, or for ``receive`` to run. So does what was refused, or
        had no key: the report has the fault, a PadShortage, KeyShortage or RefusedByPeer. Raises BadParameter for what
        is no text; that is not taken.
        """
        members = self.people.members(recipient)
        text = Text(self.party.entropy.public_bytes(16).hex(), body, self.clock.utc_s())
        text.check()
        if not body.strip():
            raise BadParameter("a text without a word", remedy="say something")
        waiting = tuple(contact.sae for contact in members)
        cipher, group = self.terms.suite.value, waiting if len(waiting) >= LEAST_GROUP else ()
        self.mailbox.post(OutgoingText(text.text_id, body, text.sent_utc_s, waiting, cipher=cipher, group=group))
        try:
            await self.deliver_waiting(patience_s=patience_s, only=text.text_id)
        except QanatError as fault:  # it lies in the outbox: who took this for a failure would send it twice
            return replace(self.report(text.text_id), fault=fault)
        return self.report(text.text_id)

    def report(self, text_id: str) -> TextReport:
        """Return what became of a text; raises BadParameter when it was never sent from here."""
        found = self.mailbox.report(text_id)
        if found is None:
            raise BadParameter(f"no text {text_id} was sent from here", remedy="look at what `qanat text` printed")
        name = self.people.directory.name_of
        delivered = {name(sae): utc_s for sae, utc_s in found.confirmed}
        return TextReport(text_id, delivered, tuple(name(sae) for sae in found.waiting))

    async def deliver_waiting(self, *, patience_s: float = 0.0, only: str | None = None) -> int:
        """Deliver what is in the outbox to those who can be reached, and return how many texts still wait.

        Tries again for ``patience_s`` (all waits for one take ``longest_s`` together); with ``only``, for that text.
        What keeps one recipient's texts from going keeps no other's; when all was tried it is raised, of several the
        first, and with ``only`` that text's alone.
        """
        end_s, began_s = self.clock.monotonic_s() + patience_s, dict[SaeId, float]()
        while True:
            async with self._delivering:
                faults = await self._deliver_once(began_s, patience_s)
            is_last = self.clock.monotonic_s() + PAUSE_S > end_s
            for text_ids, fault in faults:  # a key manager may come up again
                if (only is None or only in text_ids) and (is_last or not isinstance(fault, KeyManagerLost)):
                    raise fault
            left = [text for text in self.mailbox.waiting() if only in (None, text.text_id)]
            if not left or is_last:
                return len(left)
            await asyncio.sleep(PAUSE_S)

    @contextlib.asynccontextmanager
    async def line_to(
        self, contact: Contact, terms: Terms, *, key_first: bool = False, psk: GetPsk | None = None
    ) -> AsyncIterator[BufferLine | LaterLine]:
        """Give a line to a contact who can be reached now; raises ChannelError. ``psk``: with ``key_first``, all goes
        through TLS under the key that it gets.

        Before a one-time pad, and with ``key_first``, nobody is kept waiting on an open line, as the network may have
        to make key first: whether somebody answers is tried, and the line is opened when the first frame is sealed.
        """
        if contact.address is None:
            raise ChannelClosed(
                f"nobody says where {contact.name} receives",
                remedy="let the recipient run `qanat receive`, or write its address into the directory",
            )
        line: BufferLine | LaterLine = await dial(*contact.address)
        if key_first or terms.suite is Suite.ONE_TIME_PAD:
            await line.close()
            line = LaterLine(*contact.address, psk=psk, silence_s=terms.silence_s)
        try:
            yield line
        finally:
            await line.close()

    # --- inside ---

    def _conference_end(
        self, wire: Wire, media: CallMedia, *, conference: str, terms: Terms, say: Say, key_life_s: float | None = None
    ) -> ConferenceEnd:
        return ConferenceEnd(
            self.party,
            wire,
            media,
            conference=conference,
            terms=terms,
            key_life_s=terms.refresh.every_s if key_life_s is None else key_life_s,
            name_of=self.people.directory.name_of,
            say=say,
        )

    async def _send(
        self,
        path: Path,
        contact: Contact,
        patience_s: float,
        on_progress: Callable[[Progress], None] | None,
        say: Say,
        *,
        service: str = file_delivery.SERVICE,
        notes: Path | None = None,
    ) -> SentFile:
        began_s = self.clock.monotonic_s()
        waiting = Patience(self.clock, patience_s, tell=lambda why: say(f"waiting for {contact.name}: {why}"))
        supply = TellingSupply(self.party.supply, say=lambda _: say(f"waiting for key with {contact.name}"))
        party = replace(self.party, supply=supply)
        # by cipher: what was begun by pad does not go on by AES
        notes = notes or self.people.me.home / "sending" / self.terms.suite.value
        with OutgoingFile(path, name=file_name_for_all(path.name), recipient=contact.sae, notes=notes) as outgoing:
            delivery = Delivery()
            while True:
                trying = waiting.trying(self.terms, supply, whom=contact.name)
                try:
                    sent = await self._send_once(party, delivery, outgoing, contact.sae, trying, service, on_progress)
                except (ChannelError, RefusedForNow) as fault:
                    if isinstance(fault, ChannelError):
                        fault.remedy = fault.remedy or NO_FURTHER
                    waiting.broke(fault)
                    await asyncio.sleep(PAUSE_S)
                else:
                    break
            outgoing.confirmed()
        return SentFile(
            recipient=contact.name,
            name=sent.name,
            size_bytes=sent.size_bytes,
            sent_bytes=sent.sent_bytes,
            sha256=sent.sha256,
            num_keys=sent.num_keys,
            duration_s=self.clock.monotonic_s() - began_s,
        )

    async def _send_once(
        self,
        party: Party,
        delivery: Delivery,
        outgoing: OutgoingFile,
        sae: SaeId,
        trying: contextlib.AbstractAsyncContextManager[Callable[[int], None]],
        service: str,
        on_progress: Callable[[Progress], None] | None,
    ) -> SentWhole:
        async with trying as had, self.line_to(self.people.contact_of(sae), self.terms) as line:
            conversation = calling(party, line, sae, service=service, terms=self.terms)
            return await delivery.over(conversation, outgoing, on_progress=on_progress, on_had=had)

    @contextlib.asynccontextmanager
    async def _wire(self, host: str) -> AsyncIterator[Wire]:
        with contextlib.closing(await self.open_wire(host)) as wire:
            yield wire

    async def _deliver_once(self, began_s: dict[SaeId, float], patience_s: float) -> list[tuple[set[str], QanatError]]:
        """Try all that waits; returns what failed other than by the line, with the ids of the texts that it kept.
        ``began_s``: when each recipient was tried first."""
        together: dict[tuple[str, SaeId], list[Text]] = {}
        for one in self.mailbox.waiting():
            text = await self._sealed_once(one)
            for sae in one.waiting:
                together.setdefault((one.cipher, sae), []).append(text)
        faults: list[tuple[set[str], QanatError]] = []
        for (cipher, recipient), waiting in together.items():
            terms = replace(self.terms, suite=Suite(cipher))  # what was posted for a pad is never sent by AES
            now_s = self.clock.monotonic_s()
            limit = Limit.of(patience_s, terms, spent_s=now_s - began_s.setdefault(recipient, now_s))
            try:
                await self._tell(recipient, waiting, terms, limit)
            except QanatError as fault:
                if not isinstance(fault, ChannelError) or isinstance(fault, KeyManagerLost):
                    told = [text.text_id for text in waiting]
                    faults.append((await asyncio.to_thread(self.mailbox.unconfirmed, told, recipient), fault))
        return faults

    async def _sealed_once(self, one: OutgoingText) -> Text:
        """Return a text, sealed for all of its group where several still wait and one of them can be told.

        Where no key of all can be had, each is told under a key of its own: one whose key manager is away keeps the
        text from nobody else. A one-time pad is each recipient's own.
        """
        text = Text(one.text_id, one.body, one.sent_utc_s)
        terms = replace(self.terms, suite=Suite(one.cipher), patience_s=min(self.terms.patience_s, GROUP_PATIENCE_S))
        if len(one.group) < LEAST_GROUP or terms.suite is Suite.ONE_TIME_PAD:
            return text
        if one.record:
            return replace(text, sealed=SealedForGroup(one.group, terms.suite, base64.b64decode(one.record)))
        can_be_told = any(self.people.contact_of(sae).address is not None for sae in one.waiting)
        if len(one.waiting) < LEAST_GROUP or not can_be_told:
            return text
        try:
            sealed = await seal_for_group(self.party, one.group, text.word(), text_id=one.text_id, terms=terms)
        except KeyManagementError:
            return text
        await asyncio.to_thread(self.mailbox.sealed, one.text_id, base64.b64encode(sealed.record).decode())
        return replace(text, sealed=sealed)

    async def _tell(self, recipient: SaeId, waiting: Sequence[Text], terms: Terms, limit: Limit) -> None:
        """Say what waits for one recipient, in one conversation."""
        supply, contact = TellingSupply(self.party.supply, say=lambda _: None), self.people.contact_of(recipient)
        party = replace(self.party, supply=supply)

        async def delivered(recipient: SaeId, text: Text, utc_s: float) -> None:
            begun()
            await asyncio.to_thread(self.mailbox.confirmed, text.text_id, recipient, utc_s=utc_s)

        async with begun_in(limit, supply, whom=contact.name) as begun, self.line_to(contact, terms) as line:
            conversation = calling(party, line, recipient, service=texts.SERVICE, terms=terms)
            for fault in (await deliver_texts([conversation], waiting, delivered=delivered)).values():
                raise fault
