"""Calls: how two applications agree on one, and what it tells in the end.

    caller    {"audio", "key", "video"}           over a conversation, sealed: what it sends, and its first key's id
    answerer  {"audio", "key", "port", "video"}   the same of its own, and where its datagrams come in
    both      frames by UDP, each sealed by itself (``FrameSealer``), in streams STREAM/media and STREAM/back/media
    both      {"silent": true}                    over the conversation: nothing has come by UDP for a while
              {"here": true}                      the answer to it
              {"heard": true}                     after a silence that was told: datagrams come again
              {"audio", "datagrams", "end": true, "lost", "silent_s", "video"} (last record): see ``LastWord``

Who hears a last word says its own. Frames also carry words, as control records: {"next": key id} tells the next key in
good time, {"key_frame": true} asks for a picture that stands by itself, when one was lost, and {"here": true}, every
``HERE_EVERY_S``, comes from who sends nothing else too.
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
LOST_S = 10.0
"""Who gives no sign of life for so long is taken to be gone, in a call of two as in a conference. In a call a datagram
is one and so is a word of the conversation; so it is with the caller of a conference, at its members. Of a member
datagrams alone are one."""
HERE_EVERY_S = 1.0
"""Who sends nothing else says so often, by UDP, that it is there."""
SILENCE_TOLD_S = 3.0
"""Less is no silence: datagrams have pauses between them. After so long the other end is asked whether it is there."""
MOST_COUNTED = 2**53


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


@dataclass(frozen=True, slots=True)
class LastWord:
    """What one end says as it ends: datagrams and frames that it has sent, so that the other can count what was lost
    last of all too. ``silent_s``: for so long no datagram of the other had come. ``lost``: nor any other sign of life,
    for ``LOST_S``, which is why it ends."""

    datagrams: int
    audio: int
    video: int
    silent_s: float
    lost: bool = False

    def word(self) -> dict[str, Json]:
        sent: dict[str, Json] = {"audio": self.audio, "datagrams": self.datagrams, "video": self.video}
        return {"end": True, "lost": self.lost, "silent_s": self.silent_s} | sent

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> LastWord:
        """Return what a word says; raises FrameError."""
        match dict(word):
            case {
                "audio": int(audio),
                "datagrams": int(datagrams),
                "end": True,
                "lost": bool(lost),
                "silent_s": float() | int() as silent_s,
                "video": int(video),
            } if all(0 <= count < MOST_COUNTED for count in (audio, datagrams, video, silent_s)):
                return cls(datagrams, audio, video, float(silent_s), lost)
        raise FrameError("this is no last word of a call", remedy="update the older side")


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
    """One medium at one end. ``decoded`` of ``received`` frames could be shown; ``lacking``: of the others, those that
    were left out as they build on one that did not come."""

    sent: int
    received: int
    lost: int
    decoded: int
    lacking: int = 0


@dataclass(frozen=True, slots=True)
class CallReport:
    """What one end saw. ``delay``: from sealing there to opening here, which holds the difference of both clocks.

    ``datagrams_missing``: of the other's, those that never came, or not as they were sent. Where ``losses_known``, the
    other's last word told how many it had sent, and all are counted; else those between the first and the last that
    were opened, and nothing tells of later ones. ``refused``: datagrams that were not accepted, by reason; they may
    have come twice, late, or altered. ``ended``: "here"; "there"; "silent", as the other gave no sign of life for
    ``LOST_S``; "unheard", as it had none from here; "unsaid" where the line closed without a last word; "unanswered",
    as this end ended it and no last word of the other came: it may not know. For one member of a conference it is
    empty, or "unheard": no datagram had come from here, and a caller took this end out of it, or a member took this
    caller for gone; or "unanswered"; or how it went before the end, by a key of ``conference.GONE``. Of the caller, at
    a member, it may be "silent" and "unsaid" too.
    ``nothing_came``: not one datagram of an end that was to send, in a call long enough to tell. ``silent_s``: for so
    long no datagram had come when it ended. ``unheard_s``: the same at the other end, as its last word told.
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
    losses_known: bool = False
    unheard_s: float = 0.0

    @property
    def is_dead(self) -> bool:
        """Whether nothing came at all, or nothing any more when it ended, at one of the ends; or its line broke."""
        is_one_silent = self.fell_silent or self.unheard_s > SILENCE_TOLD_S
        return self.nothing_came or is_one_silent or self.ended_badly

    @property
    def ended_badly(self) -> bool:
        """Whether one end was taken for gone, or did not say that it knows of the end."""
        return self.ended in ("silent", "unheard", "unsaid", "unanswered")

    @property
    def fell_silent(self) -> bool:
        """Whether datagrams had come, and none any more when it ended."""
        return self.datagrams_opened > 0 and self.silent_s > SILENCE_TOLD_S

    @property
    def share_missing(self) -> float:
        """Of the other's datagrams, the share that the line has lost."""
        return self.datagrams_missing / max(self.datagrams_opened + self.datagrams_missing, 1)
