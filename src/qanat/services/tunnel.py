"""A tunnel: one TCP connection of any program, carried in one conversation, both directions at once.

    caller    {"alive": true, "open": true}       answerer  {"alive": true, "opened": true}
    then both, at any time:
      data                what the program said, at most PIECE_BYTES a record
      {"took": bytes}     so many more bytes may come: the program here has taken as many
      {"end": true}       the program here will say no more (half-close); it still listens
      {"reset": true}     the last record: the program here broke the connection off
      {"bye": true}       the last record: both programs have ended and got everything

``alive``: this end gives signs of life every ALIVE_EVERY_S, and takes the other for gone that gives none; without, as
an older caller, neither does. A sign is a frame beside the records, and takes no key.

Where the answerer's end leads to is the answerer's choice, never the caller's. Each end lets WINDOW_BYTES come that its
program has not taken: so every record is read, and opened under its key, when it comes, however slow the program is.
"""

from __future__ import annotations

from collections.abc import Mapping

from qanat.ground.errors import BadParameter, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.services.ciphers import RecordKind, Suite
from qanat.services.conversation import Conversation

SERVICE = "tunnel"
WINDOW_BYTES = 2**20
"""What may be on its way, or wait for the program at the other end, in one direction of one connection."""
PIECE_BYTES = 2**16
ALIVE_EVERY_S = 10.0
NUM_SILENT = 4
"""An end of which nothing has come for so many of these times is taken for gone."""


class Window:
    """How much may still be sent, and how much that was taken the other end has not been told of."""

    def __init__(self) -> None:
        self.left_bytes = WINDOW_BYTES
        self._untold_bytes = 0
        self._expected_bytes = WINDOW_BYTES

    def spend(self, num_bytes: int) -> None:
        """So many bytes were sent."""
        self.left_bytes -= num_bytes

    def may_send(self, num_bytes: int) -> None:
        """The other end lets so many more bytes come; raises FrameError when it cannot have taken as many."""
        if num_bytes < 1 or self.left_bytes + num_bytes > WINDOW_BYTES:
            raise FrameError("the other end took more than it was sent", remedy="update the older side")
        self.left_bytes += num_bytes

    def came(self, num_bytes: int) -> None:
        """So many bytes came; raises FrameError when they were not allowed."""
        self._expected_bytes -= num_bytes
        if self._expected_bytes < 0:
            raise FrameError("the other end sent more than it may", remedy="update the older side")

    def taken(self, num_bytes: int) -> int:
        """The program has taken so many bytes; returns how many to tell the other end of, mostly 0."""
        self._untold_bytes += num_bytes
        if self._untold_bytes < WINDOW_BYTES // 4:
            return 0
        told, self._untold_bytes = self._untold_bytes, 0
        self._expected_bytes += told
        return told


def check_suite(suite: Suite) -> None:
    """Raise BadParameter for a one-time pad: how long it must be, nobody knows before."""
    if suite is Suite.ONE_TIME_PAD:
        raise BadParameter(
            "a tunnel cannot be sealed by one-time pad: nobody knows before how much a program will say",
            remedy="take aes-256-gcm, or send a file by one-time pad",
        )


async def ask_to_open(conversation: Conversation) -> None:
    """Open the caller's end; raises RefusedByPeer with the answerer's reason, and what ``Conversation.hear`` raises.

    The answerer hears nothing until there is a key: for who has not proved who it is, it has little patience.
    """
    first = await conversation.sealed(canonical_json({"alive": True, "open": True}), kind=RecordKind.CONTROL)
    await conversation.greet()
    await conversation.pass_on(first)
    _expect(await conversation.hear(), {"alive": True, "opened": True})
    conversation.has_signs_of_life = True


async def hear_opening(conversation: Conversation) -> None:
    """Hear the caller's first word, which proves who it is; raises BadParameter, RecordRefused, FrameError."""
    check_suite(conversation.hello.context.suite)
    word = await conversation.hear()
    _expect(word, {"alive": True, "open": True} if "alive" in word else {"open": True})
    conversation.has_signs_of_life = "alive" in word


async def say_opened(conversation: Conversation) -> None:
    """Tell the caller that its connection leads to a program now; raises what ``Conversation.say`` raises."""
    await conversation.say({"alive": True, "opened": True} if conversation.has_signs_of_life else {"opened": True})


def _expect(word: Mapping[str, Json], due: Mapping[str, Json]) -> None:
    if word != due:
        raise FrameError("this is no word of a tunnel", remedy="update the older side")
