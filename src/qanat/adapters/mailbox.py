"""One application's texts on disk: those that wait to go out, and those that came in.

    <home>/outbox/<text id>.json            a text and the recipients that have not confirmed it
    <home>/sent/<text id>.json              a text that all have confirmed, and when: the delivery report
    <home>/inbox/<sender>-<text id>.json    a text that came and was not shown yet
    <home>/shown/<sender>-<text id>.json    one that was
    <home>/aside/<sender>-<text id>.json    one that nobody can read: it keeps none of the others from being shown

Every change is one rename or link, durable before it is told to anybody. Files have mode 0600: texts lie here in plain,
as in any mailbox; it is on the line that they are sealed. Texts that were sent or shown are kept for KEPT_S.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qanat.adapters.durable_files import sync_folder, write_durably, write_new_durably
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import make_private_folder
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import SaeId

KEPT_S = 90 * 86_400.0
FOLDERS = ("outbox", "sent", "inbox", "shown", "aside")
END_OF_TIME_UTC_S = 253_402_300_800.0
"""The first second of the year 10000: later times cannot be shown."""


@dataclass(frozen=True, slots=True)
class OutgoingText:
    """A text, who still has to confirm it, and who has, when (UTC)."""

    text_id: str
    body: str
    sent_utc_s: float
    waiting: tuple[SaeId, ...]
    confirmed: tuple[tuple[SaeId, float], ...] = ()
    cipher: str = "aes-128-gcm"
    """What it was posted to be sealed by."""
    group: tuple[SaeId, ...] = ()
    """All that it was posted to, where these are several."""
    record: str = ""
    """It, sealed once for all of these, as base64; the key is kept nowhere."""


@dataclass(frozen=True, slots=True)
class StoredText:
    """A text that came in."""

    text_id: str
    sender: SaeId
    body: str
    sent_utc_s: float
    received_utc_s: float
    group: tuple[SaeId, ...] = ()
    """All that it was sealed for together, whose text it is says so; ourselves among them."""


class Mailbox:
    """The texts of one application, in one folder. Several processes may use it at once."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with machine_faults_named(home):
            for name in FOLDERS:
                make_private_folder(home / name)
            self._clean()

    @property
    def outbox(self) -> Path:
        """The folder of the texts that wait: a file for each, named after its id."""
        return self.home / "outbox"

    def post(self, text: OutgoingText) -> None:
        """Put a text into the outbox; durable on return."""
        with machine_faults_named(self.home):
            write_durably(self._out(text.text_id), _out_json(text))

    def waiting(self) -> list[OutgoingText]:
        """Return the texts that somebody has not confirmed, oldest first."""
        with machine_faults_named(self.home):
            texts = [_read_out(path) for path in self.outbox.glob("[!.]*.json")]
        return sorted((text for text in texts if text is not None), key=lambda text: (text.sent_utc_s, text.text_id))

    def report(self, text_id: str) -> OutgoingText | None:
        """Return how a text stands, whether it waits or was sent."""
        return _read_out(self._out(text_id)) or _read_out(self.home / "sent" / f"{text_id}.json")

    def unconfirmed(self, text_ids: Iterable[str], recipient: SaeId) -> set[str]:
        """Return which of these texts a recipient has not confirmed."""
        found = map(self.report, text_ids)
        return {text.text_id for text in found if text is not None and recipient in text.waiting}

    def sealed(self, text_id: str, record: str) -> None:
        """Note the record of a text to a group; durable on return."""
        text = _read_out(self._out(text_id))
        if text is not None:
            self.post(replace(text, record=record))

    def confirmed(self, text_id: str, recipient: SaeId, *, utc_s: float) -> OutgoingText:
        """Strike a recipient off; the last one ends the text. Durable on return."""
        text = self.report(text_id)
        if text is None:
            raise ConfigurationError(f"text {text_id} is gone from {self.home}", remedy="let nobody tidy up there")
        if recipient not in text.waiting:
            return text
        left = tuple(sae for sae in text.waiting if sae != recipient)
        now = replace(text, waiting=left, confirmed=(*text.confirmed, (recipient, utc_s)))
        with machine_faults_named(self.home):
            if left:
                write_durably(self._out(text_id), _out_json(now))
            else:
                write_durably(self.home / "sent" / f"{text_id}.json", _out_json(now))
                self._out(text_id).unlink(missing_ok=True)
        return now

    async def keep(self, text: StoredText) -> bool:
        """Keep a text that came, durable on return; False when it came before and is known already."""
        return await asyncio.to_thread(self._keep, text)

    def fresh(self) -> list[StoredText]:
        """Return the texts that were not shown yet, in the order they came; what is unreadable is set aside.

        A copy that came while another was being shown is none of them: its sender says a text again, and on another
        line, until one is confirmed.
        """
        with machine_faults_named(self.home):
            texts = [self._read_fresh(path) for path in (self.home / "inbox").glob("[!.]*.json")]
        return sorted((text for text in texts if text), key=lambda text: (text.received_utc_s, text.text_id))

    def shown(self, text: StoredText) -> None:
        """Count a text as shown."""
        name = _in_name(text)
        (self.home / "inbox" / name).rename(self.home / "shown" / name)
        sync_folder(self.home / "shown")

    def _read_fresh(self, path: Path) -> StoredText | None:
        if (self.home / "shown" / path.name).exists():  # moved there after `_keep` had looked
            path.unlink(missing_ok=True)
            return None
        try:
            return _read_in(path)
        except (ConfigurationError, ValueError, OverflowError, TypeError, RecursionError):
            path.rename(self.home / "aside" / path.name)
            return None

    def _keep(self, text: StoredText) -> bool:
        name = _in_name(text)
        with machine_faults_named(self.home):
            if (self.home / "shown" / name).exists():
                return False
            told: dict[str, Any] = {"body": text.body, "received_utc_s": text.received_utc_s, "sender": text.sender}
            told |= {"sent_utc_s": text.sent_utc_s, "text_id": text.text_id}
            told |= {"group": text.group} if text.group else {}
            return write_new_durably(self.home / "inbox" / name, json.dumps(told))

    def _out(self, text_id: str) -> Path:
        return self.home / "outbox" / f"{text_id}.json"

    def _clean(self) -> None:
        limit_s = time.time() - KEPT_S
        for name in ("sent", "shown", "aside"):
            for path in (self.home / name).iterdir():
                if path.stat().st_mtime < limit_s:
                    path.unlink(missing_ok=True)


def _in_name(text: StoredText) -> str:
    return f"{hashlib.sha256(text.sender.encode()).hexdigest()[:16]}-{text.text_id}.json"


def _out_json(text: OutgoingText) -> str:
    told: dict[str, Any] = {
        "body": text.body,
        "cipher": text.cipher,
        "confirmed": text.confirmed,
        "group": text.group,
        "record": text.record,
        "sent_utc_s": text.sent_utc_s,
    }
    return json.dumps(told | {"text_id": text.text_id, "waiting": text.waiting})


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a file says; None when it is gone."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigurationError(f"{path} is no text", remedy="remove it") from None


def _read_out(path: Path) -> OutgoingText | None:
    read = _read(path)
    match None if read is None else {"group": (), "record": ""} | read:  # texts of before have neither
        case {
            "body": str(body),
            "confirmed": confirmed,
            "sent_utc_s": sent,
            "text_id": text_id,
            "waiting": waiting,
            "cipher": cipher,
            "group": group,
            "record": record,
        }:
            done = tuple((SaeId(sae), float(utc_s)) for sae, utc_s in confirmed)
            saes = tuple(map(SaeId, group))
            return OutgoingText(
                text_id, body, float(sent), tuple(map(SaeId, waiting)), done, str(cipher), saes, str(record)
            )
    return None


def _read_in(path: Path) -> StoredText | None:
    read = _read(path)
    match None if read is None else {"group": ()} | read:  # texts of before have none
        case {
            "body": str(body),
            "received_utc_s": received,
            "sender": sender,
            "sent_utc_s": sent,
            "text_id": text_id,
            "group": group,
        }:
            times = float(sent), float(received)
            body.encode()
            if all(0 <= utc_s < END_OF_TIME_UTC_S for utc_s in times):
                saes = tuple(SaeId(str(sae)) for sae in group)
                return StoredText(str(text_id), SaeId(str(sender)), body, *times, saes)
        case None:
            return None
    raise ValueError(f"{path} is no text")
