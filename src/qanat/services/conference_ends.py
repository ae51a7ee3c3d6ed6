"""How somebody leaves a conference, and how it ends: each end tells each other what it had sent it.

    either  {"end": true, "lost", "to": {sae: tally, ...}}    it leaves, or the conference is over; answered by the same
    caller  {"left": sae, "tally"}                    what one who leaves, or has been answered, had sent to this member
    member  {"tally", "to": sae}                      the answer to it, unless this member has said its own end
    caller  {"over": true} (last record)              nothing more is told to a member that has said its end
    tally = {"audio", "datagrams", "silent_s", "video"}: see ``Tally``

Members have no line to each other, so the caller passes their tallies on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.identifiers import SaeId
from qanat.services.call import MOST_COUNTED

OVER: Mapping[str, Json] = {"over": True}
_OLD = "update the older side"


@dataclass(frozen=True, slots=True)
class Tally:
    """What one end has sent to one other since that one came: datagrams, and frames of each medium, all whole in it.

    ``silent_s``: for so long no datagram of the other had come.
    """

    datagrams: int = 0
    audio: int = 0
    video: int = 0
    silent_s: float = 0.0

    def word(self) -> dict[str, Json]:
        told: dict[str, Json] = {"audio": self.audio, "datagrams": self.datagrams, "video": self.video}
        return told | {"silent_s": round(self.silent_s, 3)}

    @classmethod
    def parse(cls, word: object) -> Tally:
        """Return what is told; raises FrameError."""
        match word:
            case {
                "audio": int(audio),
                "datagrams": int(datagrams),
                "silent_s": float() | int() as silent_s,
                "video": int(video),
                **others,
            } if not others and all(0 <= count < MOST_COUNTED for count in (audio, datagrams, video, silent_s)):
                return cls(datagrams, audio, video, float(silent_s))
        raise FrameError("these are no counts of a conference", remedy=_OLD)


@dataclass(frozen=True, slots=True)
class Ending:
    """What one end says as it ends. ``to``: of a member to all others, of the caller to this member alone. ``lost``:
    nothing was heard of the other any more, which is why: the caller takes it out, or a member takes it for gone."""

    lost: bool = False
    to: Mapping[SaeId, Tally] = field(default_factory=dict)

    def word(self) -> dict[str, Json]:
        to: dict[str, Json] = {str(sae): tally.word() for sae, tally in self.to.items()}
        return {"end": True, "lost": self.lost, "to": to}

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> Ending:
        """Return what a word says; raises FrameError."""
        match dict(word):
            case {"end": True, "lost": bool(lost), "to": {**to}, **others} if not others:
                return cls(lost, {SaeId(str(sae)): Tally.parse(tally) for sae, tally in to.items()})
        raise FrameError("this is no last word of a conference", remedy=_OLD)


@dataclass(frozen=True, slots=True)
class Parting:
    """A tally that the caller passes on, or is to: ``other`` has sent so much, or has been sent it."""

    other: SaeId
    tally: Tally

    def word_of(self) -> dict[str, Json]:
        """Return what the caller says: ``other`` has sent it."""
        return {"left": self.other, "tally": self.tally.word()}

    def word_to(self) -> dict[str, Json]:
        """Return what a member says: ``other`` was sent it."""
        return {"tally": self.tally.word(), "to": self.other}

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> Parting:
        """Return what either says; raises FrameError."""
        match dict(word):
            case {"left": str(other), "tally": tally, **others} | {"to": str(other), "tally": tally, **others} if (
                not others
            ):
                return cls(SaeId(other), Tally.parse(tally))
        raise FrameError("this is no word about what somebody sent in a conference", remedy=_OLD)
