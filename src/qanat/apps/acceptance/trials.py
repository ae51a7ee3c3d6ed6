"""One test of each service: something is sent as a user would, and what arrived is compared with it at the other end.

Each function raises what the service raises, and ``WrongContent``, ``NotShown`` or ``Waiting`` where the recipient has
not got what was sent.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from qanat.adapters.media import TEST
from qanat.apps.acceptance.causes import NotShown, Waiting, WrongContent
from qanat.apps.acceptance.persons import Person
from qanat.apps.acceptance.plan import AUDIO, COLLECTION, DAMAGED, FAX, FILE, TEXT, TUNNEL, VIDEO, ServiceTest
from qanat.ground.errors import QanatError
from qanat.services.call import CallReport, MediumReport
from qanat.users.collecting import Sensor
from qanat.users.services import UserServices
from qanat.users.speaking import CallMedia
from qanat.users.tunnel import Tunnel

FILE_BYTES = 100_000
TUNNEL_BYTES = 50_000
CALL_S = 2.0
PAGE_DOTS = (850, 1100)
NUM_READINGS = 3
LEAST_RECEIVED = 0.5
"""Of a medium's frames that the other end sent: who hangs up cuts off what is on its way."""
LEAST_DECODED = 0.5
"""Of the frames that came: on a busy machine the last ones still wait for the decoder when the call ends."""
REPORT_S = 10.0
"""So long after a call its other end is given to say what it saw."""
LOOK_S = 0.02
PROGRAM_S = 60.0
"""What a program at a tunnel waits for its answer at most, the first key not counted."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A test under way: ``sender`` as the test has it, who may be mistaken on purpose; ``token`` was never used before.

    ``patience_s``: for what a service waits by itself where the recipient is not reached.
    """

    test: ServiceTest
    sender: UserServices
    recipient: Person
    token: str
    folder: Path
    patience_s: float
    file_bytes: int = FILE_BYTES

    @property
    def content(self) -> bytes:
        """What is sent, as long as the longest service takes: another one in each trial."""
        return hashlib.shake_128(self.token.encode()).digest(self.file_bytes)


async def _text(trial: Trial) -> None:
    body = f"test {trial.test.number}: {trial.token}"
    report = await trial.sender.text(trial.recipient.name, body, patience_s=trial.patience_s)
    if report.fault is not None:
        raise report.fault
    if report.waiting:
        raise Waiting("the text waits in the outbox: the recipient was not reached")
    sender = trial.sender.people.me.sae
    if (sender, body) not in [(text.sender, text.body) for text in trial.recipient.arrived.texts]:
        raise WrongContent("the text was confirmed, and the recipient has not got it")


async def _file(trial: Trial) -> None:
    path = trial.folder / f"{trial.token}.bin"
    content = trial.content
    await asyncio.to_thread(path.write_bytes, content)
    try:
        (sent,) = await trial.sender.send(path, trial.recipient.name, patience_s=trial.patience_s)
        arrived = trial.recipient.folder / sent.name
        if trial.test.fault is DAMAGED:
            await asyncio.to_thread(arrived.write_bytes, content[:-1])
        found = await asyncio.to_thread(_taken, arrived)
    finally:
        path.unlink()
    if found != content or sent.sha256 != hashlib.sha256(content).hexdigest():
        raise WrongContent("the file that the recipient has is not the one that was sent")


async def _fax(trial: Trial) -> None:
    path = trial.folder / f"{trial.token}.png"
    await asyncio.to_thread(_draw_page, path, f"test {trial.test.number}: {trial.token}")
    try:
        (report,) = await trial.sender.fax(path, trial.recipient.name, patience_s=trial.patience_s)
    finally:
        path.unlink()
    pages = await asyncio.to_thread(_taken, trial.recipient.folder / report.name)
    if report.num_pages != 1 or hashlib.sha256(pages).hexdigest() != report.sha256:
        raise WrongContent("the fax that the recipient has is not the one that was sent")


async def _call(trial: Trial) -> None:
    media = CallMedia(audio=TEST, video=TEST if trial.test.kind == VIDEO else None)
    trial.recipient.reception.media = media
    seen = await trial.sender.call(trial.recipient.name, media, seconds_s=CALL_S)
    answered = await _answered(trial.recipient)
    for end, other in ((seen, answered), (answered, seen)):
        _check_shown("sound", end.audio, other.audio)
        if media.video is not None:
            _check_shown("pictures", end.video, other.video)


async def _collection(trial: Trial) -> None:
    sensor = Sensor(trial.sender, trial.recipient.name, name="acceptance")
    values = [f"{trial.token}-{number}" for number in range(NUM_READINGS)]
    await sensor.put(*values)
    if await sensor.deliver():
        raise Waiting("readings wait in the outbox: the centre was not reached")
    if not set(values) <= {reading.value for reading in trial.recipient.arrived.readings}:
        raise WrongContent("the readings were confirmed, and the centre has not got them")


async def _tunnel(trial: Trial) -> None:
    faults: list[QanatError] = []
    said, heard = trial.content[:TUNNEL_BYTES], b""
    async with Tunnel(trial.sender, trial.recipient.name, on_fault=faults.append) as entrance:
        reader, writer = await asyncio.open_connection("127.0.0.1", entrance.port)
        try:
            writer.write(said)
            writer.write_eof()
            async with asyncio.timeout(trial.sender.terms.patience_s + PROGRAM_S):
                heard = await reader.read(-1)
        except OSError:
            pass  # a reset: the tunnel has told why, or tells it now
        finally:
            writer.close()
        while heard != said and not faults and not reader.at_eof():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(LOOK_S)
    if faults:
        raise faults[0]
    if heard != said:
        raise WrongContent("what came back through the tunnel is not what went in")


TRIALS: Mapping[str, Callable[[Trial], Awaitable[None]]] = {
    TEXT: _text,
    FILE: _file,
    FAX: _fax,
    AUDIO: _call,
    VIDEO: _call,
    COLLECTION: _collection,
    TUNNEL: _tunnel,
}


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Be the program that tunnels lead to: it says again what it is told, to its end."""
    try:
        while data := await reader.read(2**16):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # the other side has had enough
    finally:
        writer.close()


# --- inside ---


def _taken(path: Path) -> bytes:
    """Return what a file that came holds, and remove it; nothing where there is none."""
    if not path.is_file():
        return b""
    content = path.read_bytes()
    path.unlink()
    return content


def _draw_page(path: Path, words: str) -> None:
    page = Image.new("1", PAGE_DOTS, 1)
    ImageDraw.Draw(page).text((80, 100), words)
    page.save(path, dpi=(100, 100))


async def _answered(recipient: Person) -> CallReport:
    """Return what the other end of a call saw; it says so when it has seen that the call is over."""
    end_s = asyncio.get_running_loop().time() + REPORT_S
    while not recipient.arrived.calls:
        if asyncio.get_running_loop().time() > end_s:
            raise NotShown("the other end of the call did not come to an end")
        await asyncio.sleep(LOOK_S)
    return recipient.arrived.calls[0]


def _check_shown(what: str, here: MediumReport, there: MediumReport) -> None:
    if not there.sent or here.received < LEAST_RECEIVED * there.sent:
        raise NotShown(f"{what}: {here.received} of {there.sent} frames came")
    if here.decoded < LEAST_DECODED * here.received:
        raise NotShown(f"{what}: {here.decoded} of {here.received} frames that came could be decoded")
