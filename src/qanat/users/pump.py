"""The two directions of one connection in a tunnel, at once: what a program says goes out, what comes goes to it."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass

from qanat.adapters.buffer_line import StoodStill
from qanat.adapters.programs import LOST_S, ProgramLine
from qanat.ground.errors import ChannelClosed, ChannelTimeout, FrameError, PeerProtocolError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.services.ciphers import RecordKind
from qanat.services.conversation import Conversation, word_in
from qanat.services.tunnel import ALIVE_EVERY_S, NUM_SILENT, PIECE_BYTES, Window

DIRECTIONS = 2


@dataclass(frozen=True, slots=True)
class Carried:
    """A connection that is over: bytes of content that went out and came in, and how it ended."""

    peer: str
    sent_bytes: int
    received_bytes: int
    num_keys: int
    was_reset: bool


class _Reset(PeerProtocolError):
    """The program at one of the ends broke its connection off. ``is_here``: at this one."""

    def __init__(self, *, is_here: bool) -> None:
        super().__init__("a program broke its connection off")
        self.is_here = is_here


def _program_is_lost() -> PeerProtocolError:
    return PeerProtocolError(
        f"the program's machine at this end has not answered for {LOST_S} s",
        remedy="see that it runs, and the network to it; then connect again",
    )


def _broken_off(fault: OSError) -> PeerProtocolError:
    """Return what became of a program whose connection failed so: it broke that off, or its machine is gone."""
    return _program_is_lost() if fault.errno == errno.ETIMEDOUT else _Reset(is_here=True)


def _line_is_dead() -> ChannelClosed:
    """Return the fault of a line that is open and on which nothing passes, whichever way that was found."""
    return ChannelClosed(
        f"nothing has passed on the line to the other end for {NUM_SILENT * ALIVE_EVERY_S:.0f} s, not even a sign of "
        "life",
        remedy="see that the other end's program runs, and the network in between; then connect again",
    )


class Pump:
    """Carries one connection to its end. A fault of the line resets the program's connection: it sees no false end."""

    def __init__(self, conversation: Conversation, program: ProgramLine) -> None:
        self._conversation = conversation
        self._program = program
        self._window = Window()
        self._wider = asyncio.Event()
        self._came: asyncio.Queue[bytes | None] = asyncio.Queue()
        """At most a window of bytes; None: no more."""
        self._speaking = asyncio.Lock()
        self._sending = asyncio.Lock()
        """Held for one whole frame; who seals one, and may wait for a key, does not hold it."""
        self._has_said_last = False
        self._has_ended = False
        self._directions_over = 0
        self._sent_bytes = 0
        self._received_bytes = 0
        self._was_reset = True
        """Until both programs have ended as they wished."""

    @property
    def carried(self) -> Carried:
        """What went both ways so far, and whether the connection was broken off."""
        told = (self._conversation.peer, self._sent_bytes, self._received_bytes)
        return Carried(*told, num_keys=self._conversation.sealer.num_keys, was_reset=self._was_reset)

    async def run(self) -> None:
        """Carry until both programs have ended. Raises what ``Conversation.next`` raises, KeyShortage, and
        ChannelClosed also where the other end gives no sign of life any more."""
        self._conversation.give_time(NUM_SILENT * ALIVE_EVERY_S)
        try:
            await self._both_ways()
            await self._program.close()
            self._was_reset = False
        except* _Reset as resets:
            await self._reset(resets)
        except* StoodStill:
            raise _line_is_dead() from None
        finally:
            self._program.reset()

    async def _both_ways(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            works = [tasks.create_task(work) for work in (self._outward(), self._inward(), self._listen())]
            living = tasks.create_task(self._live())
            await asyncio.wait(works)
            living.cancel()

    async def _live(self) -> None:
        """Give signs of life, and take the other end for gone where none of it comes; so is the program, where its
        machine answers no more. What counts is how often this has looked, and not the time: where this process itself
        stood still, what came is read first."""
        conversation, heard, num_silent, num_unanswered = self._conversation, -1, 0, 0
        while True:
            num_unanswered = num_unanswered + 1 if self._program.is_unanswered() else 0
            if num_unanswered > 1:  # once: an answer may be on its way
                raise _program_is_lost()
            is_silent = conversation.is_listening and conversation.num_heard == heard
            num_silent = num_silent + 1 if is_silent else 0
            heard = conversation.num_heard
            if conversation.has_signs_of_life and num_silent >= NUM_SILENT:
                raise _line_is_dead()
            if conversation.has_signs_of_life and not self._sending.locked():  # what goes out now is a sign too
                async with self._sending:
                    if not self._has_said_last:
                        await conversation.show_life()
            await asyncio.sleep(ALIVE_EVERY_S)

    async def _reset(self, resets: BaseExceptionGroup[_Reset]) -> None:
        self._program.reset()
        if any(isinstance(reset, _Reset) and reset.is_here for reset in resets.exceptions):
            await self._say({"reset": True}, is_last=True)

    async def _outward(self) -> None:
        """Send what the program says, as far as the other end lets it."""
        while data := await self._read():
            self._window.spend(len(data))
            self._sent_bytes += len(data)
            await self._transmit(data)
        await self._say({"end": True})
        await self._direction_is_over()

    async def _read(self) -> bytes:
        while not self._window.left_bytes:
            self._wider.clear()
            await self._wider.wait()
        try:
            return await self._program.read(min(self._window.left_bytes, PIECE_BYTES))
        except OSError as fault:
            raise _broken_off(fault) from None

    async def _inward(self) -> None:
        """Give the program what came, and let as much more come."""
        while (data := await self._came.get()) is not None:
            try:
                await self._program.write(data)
            except OSError as fault:
                raise _broken_off(fault) from None
            if told := self._window.taken(len(data)):
                await self._say({"took": told})
        try:
            self._program.end()
        except OSError as fault:
            raise _broken_off(fault) from None
        await self._direction_is_over()

    async def _direction_is_over(self) -> None:
        self._directions_over += 1
        if self._directions_over == DIRECTIONS:
            await self._say({"bye": True}, is_last=True)

    async def _listen(self) -> None:
        """Read the line as fast as it comes, so that no record waits until its key is too old."""
        while True:
            try:
                record = await self._conversation.next()
            except ChannelTimeout:  # programs may be silent for days
                continue
            if record.kind is RecordKind.CONTROL:
                if self._heard(word_in(record)):
                    self._conversation.finish()
                    return
            elif self._has_ended:
                raise FrameError("the other end sent more after its end", remedy="update the older side")
            else:
                self._window.came(len(record.content))
                self._received_bytes += len(record.content)
                self._came.put_nowait(bytes(record.content))

    def _heard(self, word: dict[str, Json]) -> bool:
        """Act on a word; True when it is the last."""
        match word:
            case {"took": int(num_bytes)}:
                self._window.may_send(num_bytes)
                self._wider.set()
            case {"end": True} if not self._has_ended:
                self._has_ended = True
                self._came.put_nowait(None)
            case {"bye": True} if self._has_ended:
                return True
            case {"reset": True}:
                raise _Reset(is_here=False)
            case _:
                raise FrameError("this is no word of a tunnel", remedy="update the older side")
        return False

    async def _say(self, word: dict[str, Json], *, is_last: bool = False) -> None:
        await self._transmit(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last)

    async def _transmit(self, content: bytes, *, kind: RecordKind = RecordKind.DATA, is_last: bool = False) -> None:
        async with self._speaking:
            frame = await self._conversation.sealed(content, kind=kind, is_last=is_last)
            async with self._sending:
                self._has_said_last = is_last
                await self._conversation.send_whole(frame)
