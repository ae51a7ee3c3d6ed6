"""Calls: how two applications agree on one, and what it tells in the end.

    caller    {"audio", "key", "video"}           over a conversation, sealed: what it sends, and its first key's id
    answerer  {"audio", "key", "port", "video"}   the same of its own, and where its datagrams come in
    both      frames by UDP, each sealed by itself (``FrameSealer``), in streams STREAM/media and STREAM/back/media
    caller    {"end": true} (last record)         or either end closes the line

Frames also carry words, as control records: {"next": key id} tells the next key in good time, {"key_frame": true} asks
for a picture that stands by itself, when one was lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qanat.ground.errors import BadParameter, FrameError
from qanat.ground.events import Json
from qanat.services.ciphers import StreamContext, Suite
from qanat.services.ciphers.layout import KEY_ID_BYTES

SERVICE = "call"
LONGEST_S = 86_400.0


@dataclass(frozen=True, slots=True)
class CallWord:
    """What one end says of its direction. ``port``: of its datagrams; 0 where the other end learns it from them."""

    audio: bool
    video: bool
    key: bytes
    port: int = 0

    def word(self) -> dict[str, Json]:
        return {"audio": self.audio, "key": self.key.hex(), "port": self.port, "video": self.video}

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> CallWord:
        """Return what a word says; raises FrameError."""
        match dict(word):
            case {"audio": bool(audio), "key": str(key), "port": int(port), "video": bool(video)} if (
                len(key) == 2 * KEY_ID_BYTES and set(key) <= set("0123456789abcdef") and 0 <= port <= 65_535
            ):
                return cls(audio, video, bytes.fromhex(key), port)
        raise FrameError("this is no word about a call", remedy="update the older side")


def media_context(context: StreamContext) -> StreamContext:
    """Return the stream of a direction's frames; raises BadParameter for a one-time pad."""
    if context.suite is Suite.ONE_TIME_PAD:
        raise BadParameter(
            "calls are sealed by AES: lost frames would leave holes in a one-time pad",
            remedy="choose aes-128-gcm or aes-256-gcm",
        )
    return replace(context, stream=f"{context.stream}/media")


@dataclass(frozen=True, slots=True)
class MediumReport:
    """One medium at one end. ``decoded`` of ``received`` frames could be shown; the others lacked one before them."""

    sent: int
    received: int
    lost: int
    decoded: int


@dataclass(frozen=True, slots=True)
class CallReport:
    """What one end saw. ``delay``: from sealing there to opening here, which holds the difference of both clocks.

    ``datagrams_missing``: of the other's, between the first and the last that were opened; what the line has lost.
    ``refused``: datagrams that were not accepted, by reason; they may have come twice, late, or altered. ``ended``:
    "here", "there", or "unsaid" where the line closed without a last word; empty for one member of a conference.
    ``nothing_came``: not one datagram of an end that said it would send, in a call long enough to tell. ``silent_s``:
    for so long nothing had come when it ended, which ``datagrams_missing`` knows nothing of.
    """

    peer: str
    duration_s: float
    keys_sent: int
    keys_received: int
    datagrams_sent: int
    datagrams_opened: int
    datagrams_missing: int
    refused: Mapping[str, int]
    delay_median_ms: float
    delay_p99_ms: float
    audio: MediumReport
    video: MediumReport
    recording: str | None = None
    ended: str = ""
    nothing_came: bool = False
    silent_s: float = 0.0

    @property
    def share_missing(self) -> float:
        """Of the other's datagrams, the share that the line has lost."""
        return self.datagrams_missing / max(self.datagrams_opened + self.datagrams_missing, 1)
