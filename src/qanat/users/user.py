"""The services for programs without an event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from qanat.adapters.loop_thread import LoopThread
from qanat.adapters.mailbox import StoredText
from qanat.adapters.media import TEST
from qanat.services.call import CallReport
from qanat.services.ciphers import PadQuote, Refresh, Suite
from qanat.services.conference import ConferenceReport
from qanat.services.conversation import Terms
from qanat.services.fax import ArrivedFax, DeliveredFax
from qanat.services.file_delivery import ArrivedFile
from qanat.users.people import find_people
from qanat.users.reception import Listeners, Reception
from qanat.users.services import SentFile, TextReport, UserServices
from qanat.users.speaking import CallMedia

R = TypeVar("R")


class User:
    """One application's services; a context manager. A loop in a thread of its own serves all calls.

    ``name``: of an application of the network that is up on ``data``; or leave both out and name a ``directory`` file
    with a [me]. ``cipher``: ``aes-128-gcm``, ``aes-256-gcm`` or ``one-time-pad``, which is never replaced by another;
    ``refresh_s``: how long a key of AES lasts; ``pad_wait_s``: how long the network may take to make a missing pad.
    Raises ConfigurationError, UnknownNode.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        data: str | Path | None = None,
        directory: str | Path | None = None,
        cipher: str = Suite.AES_128_GCM.value,
        refresh_s: float = 60.0,
        pad_wait_s: float = 0.0,
    ) -> None:
        people = find_people(
            data=None if data is None else Path(data),
            name=name,
            directory=None if directory is None else Path(directory),
        )
        terms = Terms(suite=Suite(cipher), refresh=Refresh(refresh_s), pad_wait_s=pad_wait_s)
        self._loop = LoopThread(name=f"services of {people.me.name}")
        self._services = self._run(_made(lambda: UserServices(people, terms=terms)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all calls and the loop; idempotent."""
        self._loop.close(self._services.close)

    def send(self, path: str | Path, recipient: str, *, patience_s: float = 600.0) -> list[SentFile]:
        """Send a file; see ``UserServices.send``."""
        return self._run(self._services.send(Path(path), recipient, patience_s=patience_s))

    def fax(self, path: str | Path, recipient: str, *, patience_s: float = 600.0) -> list[DeliveredFax]:
        """Send a document's pages; see ``UserServices.fax``."""
        return self._run(self._services.fax(Path(path), recipient, patience_s=patience_s))

    def call(
        self,
        recipient: str,
        *,
        seconds_s: float,
        audio: str | None = TEST,
        video: str | None = TEST,
        record: str | Path | None = None,
        play: str | None = None,
    ) -> CallReport:
        """Call a contact for so long; see ``UserServices.call`` and ``CallMedia``."""
        media = CallMedia(audio, video, None if record is None else Path(record), play)
        return self._run(self._services.call(recipient, media, seconds_s=seconds_s))

    def confer(
        self,
        recipients: Sequence[str],
        *,
        seconds_s: float,
        audio: str | None = TEST,
        video: str | None = TEST,
        record: str | Path | None = None,
        play: str | None = None,
    ) -> ConferenceReport:
        """Hold a conference with contacts and groups; ``record``: a folder. See ``UserServices.confer``."""
        media = CallMedia(audio, video, None if record is None else Path(record), play)
        return self._run(self._services.confer(recipients, media, seconds_s=seconds_s))

    def text(self, recipient: str, body: str, *, patience_s: float = 5.0) -> TextReport:
        """Send a text; see ``UserServices.text``."""
        return self._run(self._services.text(recipient, body, patience_s=patience_s))

    def report(self, text_id: str) -> TextReport:
        """Return what became of a text."""
        return self._services.report(text_id)

    def quote_pad(self, recipient: str, *, content_bytes: int) -> PadQuote:
        """Return what a one-time pad would take and what is in stock; see ``UserServices.quote_pad``."""
        return self._run(self._services.quote_pad(recipient, content_bytes=content_bytes))

    @contextlib.contextmanager
    def receiving(
        self,
        folder: str | Path,
        *,
        port: int | None = None,
        on_file: Callable[[ArrivedFile], None] = lambda _: None,
        on_text: Callable[[StoredText], None] = lambda _: None,
        on_fax: Callable[[ArrivedFax], None] = lambda _: None,
        on_call: Callable[[CallReport], None] = lambda _: None,
        on_conference: Callable[[ConferenceReport], None] = lambda _: None,
    ) -> Iterator[None]:
        """Receive files into ``folder``, texts and calls, while the block runs; callbacks run in the loop's thread."""
        listeners = Listeners(
            on_file=on_file, on_text=on_text, on_fax=on_fax, on_call=on_call, on_conference=on_conference
        )
        reception = self._run(_made(lambda: Reception(self._services, Path(folder), port=port, listeners=listeners)))
        self._run(reception.__aenter__())
        try:
            self._run(_made(reception.show_fresh))
            yield
        finally:
            self._run(reception.__aexit__(None, None, None))

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        return self._loop.run(work)


async def _made(make: Callable[[], R]) -> R:
    """Call ``make`` in the loop, where what it makes will live."""
    await asyncio.sleep(0)
    return make()
