"""Why a service test failed: one cause for each, from the typed errors of both ends."""

from __future__ import annotations

from enum import Enum

from qanat.client import NotConnected
from qanat.ground.errors import (
    AuthenticationFailed,
    ChannelClosed,
    ChannelError,
    ChannelTimeout,
    KeyNotFound,
    KeyShortage,
    LinkFailed,
    NodeSilent,
    NoDirectLink,
    NoRoute,
    QanatError,
    RequestError,
    RequirementUnmet,
    VerificationFailed,
)
from qanat.services.ciphers import (
    Altered,
    KeyExpired,
    KeyUnknown,
    NotForUs,
    OutOfOrder,
    PadShortage,
    Replayed,
    Truncated,
)
from qanat.services.conversation import RefusedByPeer
from qanat.users.supply import KeyManagerLost


class Cause(Enum):
    """What became of a test, in words for the table."""

    SUCCESS = "success"
    NO_KEY = "no key in time"
    PAD_SHORT = "one-time pad too short"
    NODE_SILENT = "a relay on the way is silent"
    LINK_FAILED = "a link makes no key"
    NO_ROUTE = "no route for keys"
    NO_KEY_MANAGER = "key manager not reached"
    NOT_REACHED = "recipient not reached"
    TIMEOUT = "no answer in time"
    WRONG_RECIPIENT = "somebody else answers"
    ALTERED = "altered on the line"
    KEY_REFUSED = "key expired or unknown"
    REFUSED = "refused by the recipient"
    WRONG_CONTENT = "other content arrived"
    NOT_SHOWN = "sound or pictures not decoded"
    OTHER = "another error"


class Waiting(ChannelClosed):
    """What was sent lies in the sender's outbox still: the recipient could not be reached."""


class WrongContent(VerificationFailed):
    """The recipient has something else than was sent, or nothing, though its delivery was confirmed."""


class NotShown(VerificationFailed):
    """Too little of a call's sound or pictures came, or could be decoded."""


_CAUSES: tuple[tuple[tuple[type[QanatError], ...], Cause], ...] = (
    ((PadShortage,), Cause.PAD_SHORT),
    ((NodeSilent,), Cause.NODE_SILENT),
    ((LinkFailed,), Cause.LINK_FAILED),
    ((KeyShortage,), Cause.NO_KEY),
    ((NoRoute, NoDirectLink, RequirementUnmet), Cause.NO_ROUTE),
    ((KeyManagerLost, NotConnected), Cause.NO_KEY_MANAGER),
    ((NotForUs,), Cause.WRONG_RECIPIENT),
    ((Altered, Replayed, OutOfOrder, Truncated), Cause.ALTERED),
    ((KeyExpired, KeyUnknown, KeyNotFound), Cause.KEY_REFUSED),
    ((AuthenticationFailed,), Cause.ALTERED),
    ((NotShown,), Cause.NOT_SHOWN),
    ((VerificationFailed,), Cause.WRONG_CONTENT),
    ((ChannelTimeout,), Cause.TIMEOUT),
    ((ChannelError,), Cause.NOT_REACHED),
    ((RefusedByPeer, RequestError), Cause.REFUSED),
)
"""The first that fits: a narrower error stands before the wider one that it is."""


def cause_of(fault: QanatError) -> Cause:
    """Return the cause that an error stands for by itself."""
    return next((cause for kinds, cause in _CAUSES if isinstance(fault, kinds)), Cause.OTHER)


def cause_at_both_ends(sender: QanatError, recipient: QanatError | None, *, lost_key_manager: bool) -> Cause:
    """Return the cause of what the sender was told, and of what the recipient's end told of, if of anything.

    A refusal is the recipient's word for a fault that only its own end can name. ``lost_key_manager``: the sender's
    line to its key manager failed meanwhile, so that what waits in an outbox waits for keys.
    """
    cause = cause_of(sender)
    if cause is Cause.REFUSED and recipient is not None and (named := cause_of(recipient)) is not Cause.OTHER:
        return named
    if cause is Cause.NOT_REACHED and lost_key_manager:
        return Cause.NO_KEY_MANAGER
    return cause
