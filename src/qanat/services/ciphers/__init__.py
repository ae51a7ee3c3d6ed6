"""Ciphers that take their keys from the QKD network: for ordered streams, for frames that may be lost, and the pad.

Who seals is the master of its keys: it asks its own key manager for them, their ids travel in the records, and who
opens fetches the same keys by these ids from its own key manager. Each key seals in one direction of one stream only.

- ``StreamSealer`` and ``StreamOpener``: AES-GCM for what arrives whole and in order (files, texts, tunnels).
- ``FrameSealer`` and ``FrameOpener``: AES-GCM for what may be lost or overtaken (calls), with a replay window.
- ``PadSealer`` and ``PadOpener``: one-time pad with Wegman-Carter tags, on streams; no computational assumption.

``Refresh`` says how long a key lasts. Whatever is not exactly what was sealed next raises a ``RecordRefused``.
"""

from qanat.services.ciphers.context import StreamContext
from qanat.services.ciphers.faults import (
    Altered,
    KeyExpired,
    KeyUnannounced,
    KeyUnknown,
    NotForUs,
    NotFromSender,
    OutOfOrder,
    PadShortage,
    RecordRefused,
    Replayed,
    Truncated,
)
from qanat.services.ciphers.frames import FrameOpener, FrameSealer, ReplayWindow
from qanat.services.ciphers.layout import RecordKind
from qanat.services.ciphers.origin import OriginKey
from qanat.services.ciphers.pad import PadOpener, PadQuote, PadSealer, quote_pad
from qanat.services.ciphers.port import Opened, Opener, Sealer
from qanat.services.ciphers.recipient_keys import RecipientKeys
from qanat.services.ciphers.refresh import Refresh, Suite
from qanat.services.ciphers.sender_keys import SenderKeys
from qanat.services.ciphers.stream import StreamOpener, StreamSealer

__all__ = [
    "Altered",
    "FrameOpener",
    "FrameSealer",
    "KeyExpired",
    "KeyUnannounced",
    "KeyUnknown",
    "NotForUs",
    "NotFromSender",
    "Opened",
    "Opener",
    "OriginKey",
    "OutOfOrder",
    "PadOpener",
    "PadQuote",
    "PadSealer",
    "PadShortage",
    "RecipientKeys",
    "RecordKind",
    "RecordRefused",
    "Refresh",
    "ReplayWindow",
    "Replayed",
    "Sealer",
    "SenderKeys",
    "StreamContext",
    "StreamOpener",
    "StreamSealer",
    "Suite",
    "Truncated",
    "quote_pad",
]
