"""AES-GCM for frames that may be lost, late or overtaken: each is accepted at most once, under its own key only.

    sealer = FrameSealer(context, SenderKeys(...))      opener = FrameOpener(context, RecipientKeys(...))
    await sealer.prepare()   # between frames, or beside them in a task: asks for the next key before it is due
    datagram = sealer.seal(frame)                        frame = await opener.open(datagram)

Sealing never waits for the network. A number is spent at every frame, and is part of nonce and tag, as is the key's id:
a frame can be moved neither to another place nor under another key.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag

from qanat.ground.errors import KeyShortage, QanatError
from qanat.ground.keys import SecretKey
from qanat.services.ciphers.context import StreamContext
from qanat.services.ciphers.faults import LOOK_AT_LINE, Altered, NotForUs, Replayed
from qanat.services.ciphers.layout import (
    HEADER_BYTES,
    MARK_BYTES,
    Buffer,
    RecordHeader,
    RecordKind,
    key_id_bytes,
    nonce_of,
    read_header,
    write_header,
)
from qanat.services.ciphers.recipient_keys import RecipientKeys
from qanat.services.ciphers.sender_keys import SenderKeys

WINDOW_FRAMES = 1024
OVERRUN_S = 5.0
AHEAD_SHARE = 0.5
"""The next key is asked for when so much of the present one's time, bytes or frames is used up."""
TOLD_AHEAD_S = 0.25
"""A key that came late seals no frame before its id could be told for so long, unless no other may seal any more."""


class ReplayWindow:
    """Which of the last ``size`` numbers were seen, as bits of one integer; older ones count as seen."""

    def __init__(self, size: int = WINDOW_FRAMES) -> None:
        if size < 1:
            raise ValueError(f"a window has one place or more, got {size}")
        self._size = size
        self._mask = (1 << size) - 1
        self._newest = -1
        self._seen = 0

    def is_new(self, number: int) -> bool:
        """Return whether a frame of this number may be accepted."""
        back = self._newest - number
        return back < 0 or (back < self._size and not self._seen >> back & 1)

    def add(self, number: int) -> None:
        """Count a number as seen: after its frame has proved genuine, never before."""
        if (ahead := number - self._newest) > 0:
            self._seen = (self._seen << ahead | 1) & self._mask if ahead < self._size else 1
            self._newest = number
        else:
            self._seen |= 1 << -ahead


class FrameSealer:
    """The sender's end. A key that has no next may outlive its time by ``overrun_s``, but not its bytes and frames."""

    def __init__(self, context: StreamContext, keys: SenderKeys, *, overrun_s: float = OVERRUN_S) -> None:
        self._digest = context.digest()
        self._keys = keys
        self._overrun_s = overrun_s
        self._number = 0
        self._ahead: SecretKey | None = None
        self._ahead_at_age_s = 0.0
        self._fault: QanatError | None = None

    @property
    def num_keys(self) -> int:
        """Keys that were taken into use."""
        return self._keys.num_keys

    @property
    def next_key_id(self) -> bytes | None:
        """The id of the key to come, where it is here: tell it, and the recipient fetches it beforehand."""
        return None if self._ahead is None else key_id_bytes(self._ahead.key_id)

    async def prepare(self) -> None:
        """See to it that a key is there: the first, or the next once half of the present one is used up.

        Raises KeyShortage and what the supply raises; the present key may be used until its time is over.
        """
        keys = self._keys
        if keys.num_keys == 0:
            await keys.renew_if_due()
        elif self._ahead is None and keys.spent_share >= AHEAD_SHARE:
            try:
                self._ahead = await keys.fetch()
            except QanatError as fault:
                self._fault = fault
                raise
            self._ahead_at_age_s, self._fault = keys.age_s, None

    def seal(self, content: Buffer, *, kind: RecordKind = RecordKind.DATA) -> bytes:
        """Return the next frame's datagram. Raises KeyShortage when no key is left that may seal it."""
        keys = self._keys
        is_over = keys.num_keys == 0 or keys.is_used_up or keys.age_s > keys.refresh.every_s + self._overrun_s
        is_told = keys.age_s >= self._ahead_at_age_s + TOLD_AHEAD_S
        if self._ahead is not None and (is_over or (is_told and keys.is_due())):
            keys.install(self._ahead)
            self._ahead = None
        elif is_over:
            why = "" if self._fault is None else f": {self._fault.message}"
            remedy = "" if self._fault is None else self._fault.remedy
            raise KeyShortage(
                f"no fresh key came before the last one was used up{why}",
                remedy=remedy or "give the network more time for keys: refresh them less often",
            )
        room = bytearray(HEADER_BYTES)
        write_header(room, RecordHeader(kind, False, 0, self._digest[:MARK_BYTES], keys.key_id, self._number))
        nonce = nonce_of(self._number)
        self._number += 1
        header = bytes(room)
        return header + keys.cipher_for(len(content)).encrypt(nonce, content, self._digest + header)

    def forget(self) -> None:
        """Drop the keys."""
        self._keys.forget()
        if self._ahead is not None:
            self._ahead.secret.wipe()
            self._ahead = None


class FrameOpener:
    """The recipient's end: refuses single frames, and goes on. For one caller at a time."""

    def __init__(self, context: StreamContext, keys: RecipientKeys, *, window_frames: int = WINDOW_FRAMES) -> None:
        self._digest = context.digest()
        self._sender = context.sender
        self._keys = keys
        self._window = ReplayWindow(window_frames)

    async def open(self, datagram: Buffer) -> bytes:
        """Return a frame's content.

        Raises Altered, Replayed (also when it is older than the window), NotForUs, KeyExpired, KeyUnknown, FrameError.
        """
        return (await self.open_numbered(datagram))[1]

    async def open_numbered(self, datagram: Buffer) -> tuple[int, bytes]:
        """The same with the frame's number, from which losses and reordering can be counted."""
        header = read_header(datagram)
        if header.mark != self._digest[:MARK_BYTES]:
            raise NotForUs(
                f"a frame that is not of this stream of {self._sender}: sealed for another, or altered on the way",
                remedy="drop it; if many come, look for who puts frames on the line",
            )
        if not self._window.is_new(header.number):
            raise Replayed(
                f"frame {header.number} of {self._sender} came before, or is older than the window", remedy=LOOK_AT_LINE
            )
        cipher = await self._keys.cipher_of(header.key_id)
        view = memoryview(datagram)
        associated = self._digest + bytes(view[:HEADER_BYTES])
        try:
            content = cipher.decrypt(nonce_of(header.number), view[HEADER_BYTES:], associated)
        except InvalidTag:
            raise Altered(
                f"frame {header.number} of {self._sender} does not fit its tag: altered on the way", remedy=LOOK_AT_LINE
            ) from None
        self._window.add(header.number)
        self._keys.opened_under(header.key_id)
        return header.number, content

    async def expect(self, key_id: bytes) -> None:
        """Fetch a key whose id was announced, so that its first frame need not wait."""
        await self._keys.expect(key_id)

    def forget(self) -> None:
        """Drop the keys."""
        self._keys.forget()
