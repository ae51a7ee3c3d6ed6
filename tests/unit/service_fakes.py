"""In-memory doubles for the services: two key supplies with one stock, a line to tamper with, a file, a clock."""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from qanat.ground.errors import BadParameter, ChannelClosed, ChannelTimeout, KeyNotFound, KeyShortage, NotEntitled
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair, members_of, uuid4_from
from qanat.ground.keys import KeyStatus, SecretBytes, SecretKey
from qanat.ground.tracing import EventRecorder, Trace
from qanat.services.ciphers import Refresh
from qanat.services.ciphers.layout import Buffer
from qanat.services.conversation import Party, Terms, answering, calling, refusing
from qanat.services.file_delivery import SERVICE, ArrivedFile, Progress, SentWhole, deliver_file, take_file

ALICE = SaeId("urn:qanat:test:sae:alice")
BOB = SaeId("urn:qanat:test:sae:bob")
EVE = SaeId("urn:qanat:test:sae:eve")
TIMEOUT_S = 3.0
AT_A_STANDSTILL = 1e-9
STANDSTILL_TURNS = 200
"""So many turns of the event loop in which no frame came: no fake here takes as many for a frame."""
"""Of the fake line: nothing there is slow, so silence means that a frame was dropped."""


class FakeClock:
    """Time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sleeps_s: list[float] = []

    def utc_s(self) -> float:
        return 1_500_000_000.0 + self.now_s

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        self.sleeps_s.append(monotonic_s - self.now_s)
        self.now_s = max(self.now_s, monotonic_s)


class FakeEntropy:
    """Bytes that differ from each other; no secret."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._count = 0

    def public_bytes(self, num_bytes: int, /) -> bytes:
        self._count += 1
        return hashlib.shake_128(f"{self._label}/{self._count}".encode()).digest(num_bytes)

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(self.public_bytes(num_bytes))


class KeyStock:
    """What the key managers of both ends hold: a key is given to its master once, and to each of its slaves once."""

    def __init__(self) -> None:
        self.entropy = FakeEntropy("stock")
        self.waiting: dict[KeyID, tuple[SaePair, bytes]] = {}
        self.fetched: dict[KeyID, set[SaeId]] = {}
        self.given: list[bytes] = []


class FakeSupply:
    """One SAE's view of the stock. ``shortages`` requests fail before the first that does not."""

    def __init__(self, stock: KeyStock, sae: SaeId, *, trace: Trace | None = None, shortages: int = 0) -> None:
        self.stock = stock
        self.sae = sae
        self.trace = trace
        self.shortages = shortages
        self.shortage = KeyShortage("the pool is empty", retry_after_s=2.0)
        self.max_keys_per_request = 128
        self.requests: list[int] = []
        self.asked: list[SaeId] = []
        self.handed_out: list[SecretKey] = []

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return KeyStatus(
            source_kme="here",
            target_kme="there",
            master=self.sae,
            slave=peer,
            key_size_bits=256,
            min_key_size_bits=64,
            max_key_size_bits=1024,
            stored_key_count=0,
            max_key_count=1000,
            max_keys_per_request=self.max_keys_per_request,
        )

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        if self.shortages:
            self.shortages -= 1
            raise self.shortage
        assert 0 < count <= self.max_keys_per_request
        self.requests.append(count)
        self.asked.append(peer)
        if self.trace is not None:
            self.trace.record(EventKind.KEY_ASKED)
            self.trace.record(EventKind.KEY_GIVEN)
        pair = SaePair(self.sae, peer)
        keys = []
        for _ in range(count):
            key_id = KeyID(uuid4_from(self.stock.entropy.public_bytes(16)))
            data = self.stock.entropy.public_bytes(size_bits // 8)
            self.stock.waiting[key_id] = (pair, data)
            self.stock.given.append(data)
            keys.append(self._key(key_id, pair, data))
        return keys

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        for key_id in key_ids:
            if key_id not in self.stock.waiting:
                raise KeyNotFound(f"no key {key_id}")
            pair = self.stock.waiting[key_id][0]
            if pair.master != peer or self.sae not in members_of(pair.slave):
                raise NotEntitled(f"key {key_id} is not for {self.sae}")
            if self.sae in self.stock.fetched.get(key_id, ()):
                raise KeyNotFound(f"key {key_id} was given to {self.sae}")
        if len(set(key_ids)) < len(key_ids):
            raise KeyNotFound("a key was asked twice")
        return list(map(self._fetched, key_ids))

    def _fetched(self, key_id: KeyID) -> SecretKey:
        pair, data = self.stock.waiting[key_id]
        fetched = self.stock.fetched.setdefault(key_id, set())
        fetched.add(self.sae)
        if fetched == set(members_of(pair.slave)):
            del self.stock.waiting[key_id]
        return self._key(key_id, SaePair(pair.master, self.sae), data)

    def _key(self, key_id: KeyID, pair: SaePair, data: bytes) -> SecretKey:
        key = SecretKey(
            key_id=key_id,
            pair=pair,
            secret=SecretBytes(data),
            route=(NodeId("a"), NodeId("b")),
            origin="twin",
            created_utc_s=0.0,
            qkd_bits_spent=128,
        )
        self.handed_out.append(key)
        return key


Tamper = Callable[[int, bytes], Sequence[bytes]]
"""(number of the frame in its direction, frame) -> the frames that arrive instead."""


def honest(_: int, frame: bytes) -> Sequence[bytes]:
    return [frame]


class FakeLine:
    """One end of a line; ``depth`` frames fit on it before a sender has to wait."""

    def __init__(self, *, tamper: Tamper = honest, depth: int = 8) -> None:
        self.tamper = tamper
        self.sent: list[bytes] | None = None
        self.peer: FakeLine = self
        self._depth = depth
        self._frames: deque[bytes] = deque()
        self._moved = asyncio.Condition()
        self._count = 0
        self._closed = False

    def has_news(self) -> bool:
        return bool(self._frames) or self._closed or self.peer._closed

    async def send(self, buffer: Buffer, /) -> None:
        if self._closed or self.peer._closed:
            raise ChannelClosed("the line is closed")
        frame = bytes(buffer)
        if self.sent is not None:
            self.sent.append(frame)
        arriving = self.tamper(self._count, frame)
        self._count += 1
        peer = self.peer
        async with peer._moved:
            await peer._moved.wait_for(lambda: len(peer._frames) < peer._depth or peer._closed)
            peer._frames.extend(arriving)
            peer._moved.notify_all()

    async def receive(self, *, timeout_s: float) -> memoryview:
        """``AT_A_STANDSTILL`` as time: wait until nothing moves any more, however busy the machine is."""
        if timeout_s == AT_A_STANDSTILL:
            turns = 0
            while not (self._frames or self._closed or self.peer._closed):
                if (turns := turns + 1) > STANDSTILL_TURNS:
                    raise ChannelTimeout("nothing came")
                await asyncio.sleep(0)
        async with self._moved:
            try:
                await asyncio.wait_for(
                    self._moved.wait_for(lambda: self._frames or self._closed or self.peer._closed),
                    min(timeout_s, TIMEOUT_S),
                )
            except TimeoutError:
                raise ChannelTimeout("nothing came") from None
            if not self._frames:
                raise ChannelClosed("the line is closed")
            frame = self._frames.popleft()
            self._moved.notify_all()
            return memoryview(frame)

    async def close(self) -> None:
        self._closed = True
        for end in (self, self.peer):
            async with end._moved:
                end._moved.notify_all()


def line(*, forward: Tamper = honest, back: Tamper = honest) -> tuple[FakeLine, FakeLine]:
    """Return both ends; ``forward`` tampers with what the first end sends, ``back`` with what the second sends."""
    left, right = FakeLine(tamper=forward), FakeLine(tamper=back)
    left.peer, right.peer = right, left
    return left, right


class Content:
    """A file to be sent (the services' port ``Outgoing``), read in records of ``record_bytes``."""

    def __init__(self, data: bytes, *, name: str = "letter.txt", record_bytes: int = 2**20) -> None:
        self.offer = hashlib.sha256(data).hexdigest()[:32]
        self.name = name
        self.size_bytes = len(data)
        self._data = memoryview(data)
        self._record_bytes = record_bytes
        self._at = 0

    async def start_at(self, offset: int, /) -> str:
        self._at = offset
        return self.sha256()

    async def read_into(self, room: memoryview, /) -> int:
        piece = self._data[self._at : self._at + min(len(room), self._record_bytes)]
        room[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def sha256(self) -> str:
        return hashlib.sha256(self._data[: self._at]).hexdigest()


class Kept:
    """Where the file comes in (the services' ports ``Arrivals`` and ``Arrival``)."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.name: str | None = None
        """Of the file, once it is whole."""
        self._offered = ""

    @property
    def have_bytes(self) -> int:
        return len(self.data)

    async def expect(self, *, sender: SaeId, offer: str, name: str, size_bytes: int) -> Kept:
        self._offered = name
        return self

    async def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    async def restart(self) -> None:
        self.data.clear()

    async def write(self, content: Buffer, /) -> None:
        self.data += content

    async def finish(self) -> str:
        self.name = self._offered
        return self.name

    async def close(self) -> None:
        """Nothing is open."""


@dataclass
class Ends:
    """Two applications with all that a file's transfer needs, and what they saw."""

    forward: Tamper = honest
    back: Tamper = honest
    recipient: SaeId = BOB
    terms: Terms = field(default_factory=lambda: Terms(refresh=Refresh(every_records=3), silence_s=AT_A_STANDSTILL))
    stock: KeyStock = field(default_factory=KeyStock)
    kept: Kept = field(default_factory=Kept)
    label: str = "a"

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.events: list[Event] = []
        self.progress_sent: list[Progress] = []
        self.progress_received: list[Progress] = []
        self.entropy = FakeEntropy(f"events {self.label}")
        self.recorders = [
            EventRecorder(node=NodeId(node), clock=self.clock, entropy=self.entropy, sink=self.events.append)
            for node in ("a", "b")
        ]
        self.trace = Trace(self.recorders[0], RequestId(uuid4_from(self.entropy.public_bytes(16))))
        self.master = FakeSupply(self.stock, ALICE, trace=self.trace)
        self.slave = FakeSupply(self.stock, self.recipient)
        self.left, self.right = line(forward=self.forward, back=self.back)

    async def send(self, content: Content) -> SentWhole:
        party = Party(ALICE, self.master, self.clock, self.entropy)
        self.trace.record(EventKind.REQUEST)
        try:
            talk = calling(party, self.left, BOB, service=SERVICE, terms=self.terms)
            return await deliver_file(talk, content, on_progress=self.progress_sent.append, trace=self.trace)
        finally:
            await self.left.close()

    async def receive(self) -> ArrivedFile:
        party = Party(self.recipient, self.slave, self.clock, FakeEntropy(f"recipient {self.label}"))
        try:
            talk = await answering(party, self.right, terms=self.terms)
            if talk.hello.service != SERVICE:
                async with refusing(talk):
                    raise BadParameter("another service is not offered here")
            told = self.progress_received.append
            return await take_file(talk, self.kept, on_progress=told, recorder=self.recorders[1])
        finally:
            await self.right.close()

    async def transfer(self, content: Content) -> tuple[SentWhole | BaseException, ArrivedFile | BaseException]:
        """Send and receive at once; a fault of either end takes its result's place."""
        sent, received = await asyncio.gather(self.send(content), self.receive(), return_exceptions=True)
        return sent, received
