"""What a stream of records is bound to."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.services.ciphers.refresh import Suite

KEY_LIFE_MARGIN_S = 30.0
"""So much longer than its sender's clock says may a key be in use at the recipient: lines are slow at times."""


@dataclass(frozen=True, slots=True)
class StreamContext:
    """One direction of one conversation: every record of it is sealed together with this.

    ``recipient`` may stand for several (``slaves_together``). ``stream`` is a name that the two ends never used before:
    random, chosen by who opened the conversation. ``key_life_s``: a key that has been in use for longer than this, and
    a margin, is refused.
    """

    sender: SaeId
    recipient: SaeId
    stream: str
    suite: Suite
    key_life_s: float = 60.0

    def digest(self) -> bytes:
        """Return the SHA-256 of the context in its one spelling; 32 bytes."""
        told: dict[str, Json] = {
            "key_life_s": self.key_life_s,
            "recipient": self.recipient,
            "sender": self.sender,
            "stream": self.stream,
            "suite": self.suite.value,
        }
        return hashlib.sha256(canonical_json(told)).digest()

    def back(self, sender: SaeId) -> StreamContext:
        """Return the context of the other direction, in which ``sender``, one of the recipients, answers."""
        return StreamContext(sender, self.sender, f"{self.stream}/back", self.suite, self.key_life_s)
