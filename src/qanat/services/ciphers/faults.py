"""Why a sealed record is not accepted, and whose fault that is.

AuthenticationFailed
  RecordRefused      the sender's fault, or that of somebody on the line: each says which can be told
    Altered            the tag does not fit; TLS raises it too
    Replayed           it came before
    OutOfOrder         records before it are missing, or stand behind it
    Truncated          the stream ended before its last record
    NotForUs           sealed for another recipient, by another sender, or in another stream
    NotFromSender      sealed under the key of a group, and not by the member that it is said to be of
    KeyExpired         sealed under a key whose time is over
    KeyUnknown         sealed under a key that our key manager does not have for us
    KeyUnannounced     a frame under a key that its sender has not told us of yet: what told of it was lost or is late
KeyShortage
  PadShortage        the stock has less than a one-time pad needs: nobody's fault, but nothing was sent
"""

from __future__ import annotations

from qanat.ground.errors import Altered, KeyShortage, RecordRefused

__all__ = [
    "Altered",
    "KeyExpired",
    "KeyUnannounced",
    "KeyUnknown",
    "NotForUs",
    "NotFromSender",
    "OutOfOrder",
    "PadShortage",
    "RecordRefused",
    "Replayed",
    "Truncated",
]

LOOK_AT_LINE = "look for who alters the line between the two, then send it again"


class Replayed(RecordRefused):
    """A record that came before: somebody on the line sent it again."""


class OutOfOrder(RecordRefused):
    """Records were left out or exchanged on the line."""


class Truncated(RecordRefused):
    """A stream that ended before its last record: the sender stopped, or somebody cut the line."""


class NotForUs(RecordRefused):
    """A record of another sender, recipient or stream: the sender's fault, or put in by somebody on the line."""


class NotFromSender(RecordRefused):
    """A frame of a group whose tag between the two does not fit: altered, or made by another of the group."""


class KeyExpired(RecordRefused):
    """A record under a key that should have been replaced: the sender's fault, or a record that was held back."""


class KeyUnknown(RecordRefused):
    """A key id that our key manager does not know, has given before, or holds for others."""


class KeyUnannounced(RecordRefused):
    """A frame under a key whose id has not come yet: of a call that loses or turns round datagrams, some at each new
    key; many without end are put on the line by somebody else."""


class PadShortage(KeyShortage):
    """Less key in stock than a one-time pad needs; ``needed_bits`` and ``stocked_bits`` say how much.

    ``waited_s``: how long the network was given to make it, and ``stocked_bits`` what came of it within that time.
    """

    def __init__(
        self, *, needed_bits: int, stocked_bits: int, retry_after_s: float = 10.0, waited_s: float = 0.0
    ) -> None:
        had = f"came within {waited_s:g} s" if waited_s > 0 else "are in stock"
        super().__init__(
            f"a one-time pad of {needed_bits:,} bits is needed, and {stocked_bits:,} bits {had}: "
            f"{needed_bits - stocked_bits:,} too few; nothing was sent",
            remedy="give the network longer to make more key (--pad-wait SECONDS), or choose AES yourself: it is never "
            "chosen for you",
            retry_after_s=retry_after_s,
        )
        self.needed_bits = needed_bits
        self.stocked_bits = stocked_bits
