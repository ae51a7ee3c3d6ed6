"""Receiving: one listener for all services of an application; meanwhile its outbox is emptied too."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from qanat.adapters.buffer_line import BufferLine
from qanat.adapters.fax_pages import count_pages
from qanat.adapters.incoming import CheckedFolder, IncomingFolder
from qanat.adapters.line_server import LineServer
from qanat.adapters.mailbox import Mailbox, StoredText
from qanat.adapters.process_lock import ProcessLock
from qanat.adapters.psk import PreSharedKey
from qanat.ground.errors import BadParameter, ChannelClosed, QanatError
from qanat.services import call, collect, conference, fax, file_delivery, hook, texts, tunnel
from qanat.services.call import CallReport
from qanat.services.conference import ConferenceReport
from qanat.services.conversation import Conversation, answering, refusing
from qanat.services.fax import ArrivedFax
from qanat.services.file_delivery import ArrivedFile, Progress, take_file
from qanat.services.texts import ReceivedText, take_texts
from qanat.users.line_keys import caller_in, psk_of
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia

T = TypeVar("T")

HOST = "127.0.0.1"
OUTBOX_PERIOD_S = 5.0
LAST_WORDS_S = 2.0
HANG_UP_S = 4.0
"""So long at most the calls that last are waited for at the end: for their last words, and for their recordings."""
LONG_SERVICES = (call.SERVICE, conference.SERVICE, tunnel.SERVICE)
"""They last as long as people like, and confirm nothing at their end."""
HOW_OFFERED = {
    collect.SERVICE: "run `qanat receive` here",
    hook.SERVICE: "run `qanat hook ... --follow` here",
    tunnel.SERVICE: "run `qanat receive --tunnel PORT` here",
}
"""What has to run at the recipient for the services that not every reception offers."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told of what comes; each is called in the event loop, and must be quick.

    What one raises keeps nothing from coming: it goes to the loop's handler. An OSError goes to ``on_broken`` where
    there is one, as of an output that nobody reads any more; a text that could not be told of is told of later.
    """

    on_file: Callable[[ArrivedFile], None] = lambda _: None
    on_call: Callable[[CallReport], None] = lambda _: None
    on_conference: Callable[[ConferenceReport], None] = lambda _: None
    on_fax: Callable[[ArrivedFax], None] = lambda _: None
    on_text: Callable[[StoredText], None] = lambda _: None
    on_fault: Callable[[QanatError], None] = lambda _: None
    on_notice: Callable[[str], None] = lambda _: None
    """Is told, in words for people, that nothing gets through one way in a call or a conference that goes on, and that
    it does again."""
    on_progress: Callable[[Progress], None] | None = None
    on_broken: Callable[[OSError], None] | None = None


Serve = Callable[[Conversation], Awaitable[None]]
"""Answers one conversation to its end; it tells the other end of its faults itself, and raises them."""


class _Inbox:
    """The services' port ``Inbox`` on a mailbox; a text is told of before its sender hears that it came."""

    def __init__(self, mailbox: Mailbox, *, show: Callable[[], Awaitable[None]]) -> None:
        self._mailbox = mailbox
        self._show = show

    async def put(self, text: ReceivedText, /) -> bool:
        stored = StoredText(text.text_id, text.sender, text.body, text.sent_utc_s, text.received_utc_s, text.group)
        is_new = await self._mailbox.keep(stored)
        if is_new:
            await self._show()
        return is_new


class Reception:
    """Receives files into ``folder`` and texts into the mailbox while it is open; an async context manager.

    On a network's own machine its address is published in the data folder, so that senders need to know the name only.
    """

    def __init__(
        self,
        user: UserServices,
        folder: Path,
        *,
        port: int | None = None,
        listeners: Listeners | None = None,
        more: Mapping[str, Serve] | None = None,
        media: CallMedia | None = None,
    ) -> None:
        """``more``: services that are offered here besides files, faxes, texts and calls, by their names. ``media``:
        what is sent to those who call, and into which folder their calls are recorded."""
        self._user = user
        self._more = dict(more or {})
        self._listeners = listeners or Listeners()
        self.media = media or CallMedia()
        """What those are sent who call from now on."""
        listen = user.people.me.listen or (HOST, 0)
        self._host = listen[0]
        port = listen[1] if port is None else port
        self._server = LineServer(self._answer, host=self._host, port=port, psk_of=self._psk_of)
        self._incoming = IncomingFolder(folder)
        self._outbox: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._hanging_up = asyncio.Event()
        self._calls = set[asyncio.Task[None]]()
        """Those that have begun, conferences too."""
        self._deliveries = set[asyncio.Task[None]]()
        me = user.people.me
        self._lock = ProcessLock(
            me.home / "receiving.lock",
            what=f"{me.name} receives already",
            remedy="end that one first, or let it go on: it takes all that comes",
        )

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def _address(self) -> tuple[str, int]:
        host = HOST if self._host in ("0.0.0.0", "::") else self._host  # noqa: S104 - who listens everywhere
        return host, self.port

    async def __aenter__(self) -> Self:
        """Listen, and say where; raises ConfigurationError, also where this user receives already."""
        self._lock.__enter__()
        try:
            await self._server.start()
        except BaseException:
            self._lock.__exit__(None, None, None)
            raise
        if (book := self._user.people.addresses) is not None:
            book.publish("services", self._user.people.me.name, self._address)
        self._outbox = asyncio.create_task(self._empty_outbox(), name="outbox")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end_calls()
        if self._outbox is not None:
            self._outbox.cancel()
            await asyncio.gather(self._outbox, return_exceptions=True)
        if (book := self._user.people.addresses) is not None:
            name = self._user.people.me.name
            if book.find("services", name) == self._address:  # not another's, who said its own meanwhile
                book.withdraw("services", name)
        await self._server.stop()
        self._lock.__exit__(None, None, None)

    def leave_conferences(self) -> None:
        """Leave all conferences that last now; their callers do not call again."""
        self._leaving.set()
        self._leaving = asyncio.Event()

    async def _end_calls(self) -> None:
        """Hang up in the calls that last now, and leave the conferences; wait until they are over and told of."""
        self._hanging_up.set()
        self.leave_conferences()
        if self._calls:
            await asyncio.wait(self._calls, timeout=HANG_UP_S)

    def _call_begun(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    def show_fresh(self) -> None:
        """Tell of the texts that came and were not shown, each once."""
        mailbox = self._user.mailbox
        for text in mailbox.fresh():
            if not self._has_told(self._listeners.on_text, text):
                return
            mailbox.shown(text)

    async def end_deliveries(self, *, limit_s: float = LAST_WORDS_S) -> None:
        """Wait until those files, faxes, texts and readings have come, and are confirmed, that are coming in now; for
        ``limit_s`` at most."""
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=limit_s)

    async def _psk_of(self, identity: bytes) -> PreSharedKey:
        return await psk_of(identity, party=self._user.party, people=self._user.people)

    async def _answer(self, line: BufferLine) -> None:
        conversation: Conversation | None = None
        try:
            conversation = await answering(self._user.party, line, terms=self._user.terms)
            with self._counted(conversation.hello.service):
                await self._serve(conversation)
        except QanatError as fault:
            if isinstance(fault, ChannelClosed) and not line.has_heard:  # somebody looked whether we answer
                return
            fault.message = f"{self._called(line, conversation)}: {fault.message}"
            fault.args = (fault.message,)
            await self._told(self._listeners.on_fault, fault)

    def _called(self, line: BufferLine, conversation: Conversation | None) -> str:
        """Return whose call it is, and from where, as far as that is known: a line itself knows no names."""
        caller, is_proven = caller_in(line.identity), bool(line.suite)
        if conversation is not None and (conversation.is_proven or not is_proven):
            caller, is_proven = conversation.peer, conversation.is_proven
        if caller is None:
            return f"a call from {line.caller}"
        name = self._user.people.directory.name_of(caller)
        if is_proven:
            return f"a call of {name} from {line.caller}"
        return f"a call from {line.caller}, which says it is {name}'s"

    @contextlib.contextmanager
    def _counted(self, service: str) -> Iterator[None]:
        """Count the running task among the deliveries, where it is one."""
        task = asyncio.current_task()
        assert task is not None
        if service not in LONG_SERVICES:
            self._deliveries.add(task)
        try:
            yield
        finally:
            self._deliveries.discard(task)

    async def _told(self, listener: Callable[[T], None], what: T) -> None:
        await _apart(functools.partial(self._has_told, listener, what))

    def _has_told(self, listener: Callable[[T], None], what: T) -> bool:
        try:
            listener(what)
        except OSError as fault:
            if self._listeners.on_broken is None:
                raise
            self._listeners.on_broken(fault)
            return False
        return True

    def _notice(self, words: str) -> None:
        """Have people told, apart from the conversation."""
        asyncio.get_running_loop().call_soon(functools.partial(self._has_told, self._listeners.on_notice, words))

    def _progress(self) -> Callable[[Progress], None] | None:
        """Return what tells of a file's progress, apart from its conversation."""
        if (listener := self._listeners.on_progress) is None:
            return None
        loop = asyncio.get_running_loop()

        def tell(progress: Progress) -> None:
            loop.call_soon(functools.partial(self._has_told, listener, progress))

        return tell

    async def _serve(self, conversation: Conversation) -> None:
        user = self._user
        match conversation.hello.service:
            case file_delivery.SERVICE:
                file = await take_file(conversation, self._incoming, on_progress=self._progress())
                await self._told(self._listeners.on_file, file)
            case call.SERVICE:
                media = replace(self.media, record=self._recording("call", ".webm"))
                report = await user.answer_call(
                    conversation,
                    media,
                    host=self._host,
                    hang_up=self._hanging_up,
                    begun=self._call_begun,
                    say=self._notice,
                )
                await self._told(self._listeners.on_call, report)
            case conference.SERVICE:
                media = replace(self.media, record=self._recording("conference", ""))
                seen = await user.answer_conference(
                    conversation,
                    media,
                    host=self._host,
                    leave=self._leaving,
                    begun=self._call_begun,
                    say=self._notice,
                )
                await self._told(self._listeners.on_conference, seen)
            case fax.SERVICE:
                if (arrived := await self._take_fax(conversation)) is not None:
                    await self._told(self._listeners.on_fax, arrived)
            case texts.SERVICE:
                inbox = _Inbox(user.mailbox, show=functools.partial(_apart, self.show_fresh))
                await take_texts(conversation, inbox, party=user.party, utc_s=user.clock.utc_s)
            case other if other in self._more:
                await self._more[other](conversation)
            case other:
                async with refusing(conversation):
                    remedy = HOW_OFFERED.get(other, "update the older side")
                    raise BadParameter(f"service {other!r} is not offered here", remedy=remedy)

    def _recording(self, kind: str, suffix: str) -> Path | None:
        """Return where a call is recorded: in the folder of files, under a name that no other call has."""
        if self.media.record is None:
            return None
        return self.media.record / f"{kind}-{self._user.party.entropy.public_bytes(8).hex()}{suffix}"

    async def _take_fax(self, conversation: Conversation) -> ArrivedFax | None:
        """Receive a fax whose pages can be read; None where it was here before."""
        counted: list[int] = []

        def check(path: Path) -> None:
            counted.append(count_pages(path, page_dots=fax.PAGE_DOTS, most_pages=fax.MOST_PAGES))

        file = await take_file(conversation, CheckedFolder(self._incoming, check))
        if not counted:
            return None
        return ArrivedFax(file.name, counted[-1], file.size_bytes, file.sha256, file.sender)

    async def _empty_outbox(self) -> None:
        while True:
            with contextlib.suppress(QanatError):
                await self._user.deliver_waiting()
            await asyncio.sleep(OUTBOX_PERIOD_S)


async def _apart(tell: Callable[[], object]) -> None:
    """Have something called in the loop's next turn, and return after it: what it raises is no fault of a
    conversation."""
    asyncio.get_running_loop().call_soon(tell)
    await asyncio.sleep(0)
