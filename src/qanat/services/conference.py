"""Conferences: how up to eight applications agree on one, and on the keys of each of its rounds.

Who calls has a conversation with each member, sealed between the two, and says who is in it:

    caller  {"audio", "conference", "port": 0.., "video"}      conference: 32 hexadecimal digits, never used before
    member  {"audio", "port", "video"}                         it joins: where its datagrams come in
    caller  {"members": [[sae, host, port, audio, video], ...], "round": n}    all of them, the caller and it too; and
            "gone": {sae: how, ...}    where somebody went since the round before: see ``GONE``
    member  {"all": key id, "each": {sae: key id, ...}, "round": n}            its keys of this round
    caller  {"all", "each": key id or "", "of": sae, "round"}                  another's keys, as far as it needs them
    member  {"silent": true}                                   no datagram of the caller has come for a while
    caller  {"here": true}                                     the answer to it
    how it ends: see ``services.conference_ends``

A round lasts while the members are the same. In each, a member's media go out in one stream, sealed once under a key
that it asked for with all others together: who left is given no more of them, and who comes none of those before. Every
datagram goes to each other member by itself, with a tag under a key of the two (``ciphers.origin``): those keys are
asked for once for each other member, and told in ``each``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qanat.ground.errors import BadParameter, FrameError
from qanat.ground.events import Json
from qanat.ground.identifiers import MAX_ID_CHARACTERS, SaeId, slaves_together
from qanat.services.call import CallReport
from qanat.services.ciphers import StreamContext, Suite
from qanat.services.ciphers.layout import KEY_ID_BYTES

SERVICE = "conference"
MOST_PEOPLE = 8
"""The caller among them."""
MOST_ROUNDS = 2**31
MAX_PORT = 65_535
MAX_HOST_CHARACTERS = 255
LEFT = "it left"
GONE: Mapping[str, str] = {
    "left": LEFT,
    "lost": "nothing was heard of it any more",
    "broke": "its line closed without a last word: its program was ended, or the line broke",
    "gave_up": "it had no sign of life from the caller, and hung up",
}
"""How a member went, as the caller tells the others, and what that means."""
_OLD = "update the older side"


@dataclass(frozen=True, slots=True)
class Seat:
    """One member of a round: what it sends, and where its datagrams come in as far as the caller knows.

    ``host`` is empty for the caller itself: its address is learnt from its first genuine datagram.
    """

    sae: SaeId
    host: str
    port: int
    audio: bool
    video: bool

    def word(self) -> list[Json]:
        return [self.sae, self.host, self.port, self.audio, self.video]

    @classmethod
    def parse(cls, told: object) -> Seat:
        """Return what one entry says; raises FrameError."""
        match told:
            case [str(sae), str(host), int(port), bool(audio), bool(video)] if (
                0 < len(sae) <= MAX_ID_CHARACTERS
                and " " not in sae
                and sae.isprintable()
                and host.isprintable()
                and len(host) <= MAX_HOST_CHARACTERS
                and 0 <= port <= MAX_PORT
            ):
                return cls(SaeId(sae), host, port, audio, video)
        raise FrameError("this is no member of a conference", remedy=_OLD)


@dataclass(frozen=True, slots=True)
class Joining:
    """What one end says of what it will send; ``conference`` in the caller's alone."""

    audio: bool
    video: bool
    port: int
    conference: str = ""

    def word(self) -> dict[str, Json]:
        told: dict[str, Json] = {"audio": self.audio, "port": self.port, "video": self.video}
        return told | ({"conference": self.conference} if self.conference else {})

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> Joining:
        """Return what a word says; raises FrameError."""
        match dict(word):
            case {"audio": bool(audio), "port": int(port), "video": bool(video), **others} if 0 <= port <= MAX_PORT:
                name = others.pop("conference", "")
                if not others and isinstance(name, str) and (not name or _is_hex(name, 16)):
                    return cls(audio, video, port, name)
        raise FrameError("this is no word about a conference", remedy=_OLD)


@dataclass(frozen=True, slots=True)
class Round:
    """Who is in a conference from now on. ``gone``: how those went who are no longer in it, by a key of ``GONE``."""

    number: int
    seats: tuple[Seat, ...]
    gone: Mapping[SaeId, str] = field(default_factory=dict)

    def word(self) -> dict[str, Json]:
        gone: dict[str, Json] = {str(sae): how for sae, how in self.gone.items()}
        told: dict[str, Json] = {"members": [seat.word() for seat in self.seats], "round": self.number}
        return told | ({"gone": gone} if gone else {})

    @classmethod
    def parse(cls, word: Mapping[str, Json], *, me: SaeId) -> Round:
        """Return the round in a word; raises FrameError, also when it is not of 2 to 8 people, ``me`` among them."""
        match dict(word):
            case {"members": [*told], "round": int(number), **others} if 0 < number < MOST_ROUNDS:
                seats, gone = tuple(map(Seat.parse, told)), _gone_in(others)
                saes = {seat.sae for seat in seats}
                if len(saes) == len(seats) and 2 <= len(seats) <= MOST_PEOPLE and me in saes and not saes & set(gone):
                    return cls(number, seats, gone)
        raise FrameError(f"this is no round of a conference of 2 to {MOST_PEOPLE}", remedy=_OLD)

    def others(self, sae: SaeId) -> tuple[Seat, ...]:
        """Return all but one."""
        return tuple(seat for seat in self.seats if seat.sae != sae)

    def stream_of(self, sae: SaeId, *, conference: str, suite: Suite, key_life_s: float) -> StreamContext:
        """Return the stream of a member's media in this round: to all others together."""
        recipients = slaves_together(seat.sae for seat in self.others(sae))
        return StreamContext(sae, recipients, f"{conference}/{self.number}", suite, key_life_s)


@dataclass(frozen=True, slots=True)
class RoundKeys:
    """The ids of a member's keys: of its media in a round, and of its tags for those who came with that round."""

    number: int
    media: bytes
    each: Mapping[SaeId, bytes] = field(default_factory=dict)

    def word(self) -> dict[str, Json]:
        each: dict[str, Json] = {str(sae): key.hex() for sae, key in self.each.items()}
        return {"all": self.media.hex(), "each": each, "round": self.number}

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> RoundKeys:
        """Return what a member says; raises FrameError."""
        match dict(word):
            case {"all": str(media), "each": {**each}, "round": int(number)} if (
                _is_hex(media, KEY_ID_BYTES)
                and len(each) < MOST_PEOPLE
                and all(isinstance(key, str) and _is_hex(key, KEY_ID_BYTES) for key in each.values())
            ):
                keys = {SaeId(str(sae)): bytes.fromhex(str(key)) for sae, key in each.items()}
                return cls(number, bytes.fromhex(media), keys)
        raise FrameError("this is no word about the keys of a round", remedy=_OLD)

    def told_to(self, recipient: SaeId, *, by: SaeId) -> dict[str, Json]:
        """Return what one of the others is told of these keys of ``by``."""
        each = self.each.get(recipient, b"").hex()
        return {"all": self.media.hex(), "each": each, "of": by, "round": self.number}


@dataclass(frozen=True, slots=True)
class KeysOf:
    """The ids of another member's keys; ``tags`` is empty where they are those of the round before."""

    of: SaeId
    number: int
    media: bytes
    tags: bytes

    @classmethod
    def parse(cls, word: Mapping[str, Json]) -> KeysOf:
        """Return what the caller says of another's keys; raises FrameError."""
        match dict(word):
            case {"all": str(media), "each": str(each), "of": str(sae), "round": int(number)} if _is_hex(
                media, KEY_ID_BYTES
            ) and (not each or _is_hex(each, KEY_ID_BYTES)):
                return cls(SaeId(sae), number, bytes.fromhex(media), bytes.fromhex(each))
        raise FrameError("this is no word about the keys of another", remedy=_OLD)


@dataclass(frozen=True, slots=True)
class Absence:
    """Somebody who was called and is not in the conference at its end; ``reason``: a sentence that says why."""

    name: str
    reason: str

    @property
    def has_left(self) -> bool:
        """Whether it was in the conference, and left of its own."""
        return self.reason == LEFT


@dataclass(frozen=True, slots=True)
class ConferenceReport:
    """What one end saw of a conference; ``members``: of each other member, whenever it was in it.

    ``keys_sent``: keys that its own media were sealed under, each held by all other members of its round.
    ``tag_keys``: keys of two that it asked for, for the tags of its datagrams. ``refused``: datagrams of no member.
    ``caller``: who held it; empty at the caller itself.
    """

    conference: str
    duration_s: float
    rounds: int
    keys_sent: int
    tag_keys: int
    members: tuple[CallReport, ...]
    absent: tuple[Absence, ...] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    mix: str | None = None
    caller: str = ""


def check_people(names: Sequence[str], *, suite: Suite) -> None:
    """Raise BadParameter when so many, besides the caller, are too many, or for a one-time pad."""
    if len(names) >= MOST_PEOPLE:
        raise BadParameter(
            f"a conference of {len(names) + 1}: at most {MOST_PEOPLE} people can be in one, the caller among them",
            remedy=f"call at most {MOST_PEOPLE - 1} others",
        )
    if suite is Suite.ONE_TIME_PAD:
        raise BadParameter(
            "calls are sealed by AES: lost frames would leave holes in a one-time pad",
            remedy="choose aes-128-gcm or aes-256-gcm",
        )


def _gone_in(word: Mapping[str, Any]) -> dict[SaeId, str]:
    """Return how members went, as the rest of a round's word tells; raises FrameError."""
    match word.get("gone", {}):
        case {**gone} if all(isinstance(how, str) and how in GONE for how in gone.values()):
            return {SaeId(str(sae)): str(how) for sae, how in gone.items()}
    raise FrameError("this does not tell how members of a conference went", remedy=_OLD)


def _is_hex(text: Any, num_bytes: int) -> bool:
    return len(text) == 2 * num_bytes and set(text) <= set("0123456789abcdef")
