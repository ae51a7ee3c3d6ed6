"""The error tree: every failure says whose fault it is and what to do.

    QanatError
      ConfigurationError            the files or options this node was started with
        NetworkFileError              ... a line of a network file
      RequestError                  the caller asked for something that cannot be
        UnknownNode, NoRoute, KeyNotFound, NotEntitled, BadParameter, RequirementUnmet, NoDirectLink
      PeerProtocolError             the other party, or the line to it, broke the protocol
        FrameError                    bytes that are no frame
        AuthenticationFailed          a tag does not fit its transcript
          RecordRefused                 ... of a sealed record: services.ciphers has its kinds
            Altered                       ... which is not as it was sealed
        VerificationFailed            the two keys differ after error correction
        ChannelError: ChannelClosed, ChannelTimeout
        NoPlaceNow                    the other party has as much to do as it takes; ask again
      QuantumLayerError             light, detectors, entropy, or somebody listening
        QberTooHigh, NoSecretKey, CalibrationFailed, EntropyFailed, SwitchFailed
      KeyManagementError            stock and store
        KeyShortage                   ... a pool holds too little; ask again
          LinkFailed                    ... because a link cannot make key: the quantum layer's fault
          NodeSilent                    ... because a node on the way does not answer
        PadExhausted, PadReused, BlockUnknown, StoreFailed, StaleEpoch

``ValueError`` and ``TypeError`` are for slips of a programmer, never for what a user or a peer did.
"""

from __future__ import annotations

from collections.abc import Sequence


class QanatError(Exception):
    """Root of the tree. ``message`` names the fault, ``remedy`` what the reader can do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class ConfigurationError(QanatError):
    """A file or an option that this program was started with is wrong."""


class NetworkFileError(ConfigurationError):
    """A network description that does not hold; names file, line and remedy. ``others``: what else was found wrong with
    it at the same look."""

    def __init__(self, message: str, *, source: str, line: int | None, remedy: str = "") -> None:
        where = f"{source}:{line}" if line is not None else source
        super().__init__(f"{where}: {message}", remedy=remedy)
        self.source = source
        self.line = line
        self.others: tuple[NetworkFileError, ...] = ()

    @classmethod
    def of_all(cls, faults: Sequence[NetworkFileError]) -> NetworkFileError:
        """Return the first of one fault or more, with the others as its ``others``; what is told twice stands once."""
        first, *rest = {fault.message: fault for fault in faults}.values()
        first.others = tuple(rest)
        return first


class RequestError(QanatError):
    """The caller asked for something that cannot be given as asked."""


class UnknownNode(RequestError):
    """A node, SAE or link that the network does not have."""


class NoRoute(RequestError):
    """No chain of trusted nodes joins the two ends."""


class KeyNotFound(RequestError):
    """A key id that this key manager does not hold: never here, already supplied, or destroyed."""


class NotEntitled(RequestError):
    """The key exists, but not for this SAE."""


class BadParameter(RequestError):
    """A parameter outside what the interface allows."""


class RequirementUnmet(RequestError):
    """No key that could be given fulfils what the caller requires of its age or its way."""


class NoDirectLink(RequestError):
    """One of two sites takes direct keys only, and no QKD link joins them."""


class PeerProtocolError(QanatError):
    """The other party broke the protocol, or somebody on the line did."""


class FrameError(PeerProtocolError):
    """Bytes that are not a frame of this protocol."""


class AuthenticationFailed(PeerProtocolError):
    """A tag does not fit what it is for: the messages were altered on the way, or are not from who they seem to be."""


class RecordRefused(AuthenticationFailed):
    """A record that is not what the sender sealed next for this recipient."""


class Altered(RecordRefused):
    """A tag that does not fit, of a record of ours or of TLS: altered on the way, or the two ends hold different
    keys."""


class VerificationFailed(PeerProtocolError):
    """The two keys differ after error correction; the block is dropped."""


class ChannelError(PeerProtocolError):
    """The classical channel failed."""


class ChannelClosed(ChannelError):
    """The peer, or this side, closed the channel."""


class ChannelTimeout(ChannelError):
    """Nothing came within the time allowed."""


class NoPlaceNow(PeerProtocolError):
    """A party is asked for more than it takes at a time: the same may be taken a little later."""


class QuantumLayerError(QanatError):
    """The quantum layer cannot make key: light, detectors, entropy, or somebody who listens."""


class QberTooHigh(QuantumLayerError):
    """The error rate is above the abort threshold: misalignment, or an eavesdropper."""


class NoSecretKey(QuantumLayerError):
    """The proof allows no secret bit from this block."""


class CalibrationFailed(QuantumLayerError):
    """A calibration step could not be done; ``code`` is a word for machines, such as ``no-light``."""

    def __init__(self, message: str, *, remedy: str = "", code: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.code = code


class EntropyFailed(QuantumLayerError):
    """The physical generator that the devices draw from failed a health test, ended, or fell silent."""


class SwitchFailed(QuantumLayerError):
    """An optical switch did not come to join two of its ports."""


class KeyManagementError(QanatError):
    """Stock or store of a key manager."""


class KeyShortage(KeyManagementError):
    """A pool holds less than was asked; ``retry_after_s`` is a hint, not a promise."""

    def __init__(self, message: str, *, remedy: str = "", retry_after_s: float = 2.0) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class LinkFailed(KeyShortage):
    """A link on the way cannot make key: the quantum layer's fault, told by a key manager; the hint is a long one."""


class NodeSilent(KeyShortage):
    """A node on the way does not answer, and no other way goes round it; the line goes on once it is up again."""


class PadExhausted(KeyManagementError):
    """A pad account has no bits left: nothing can be authenticated."""


class PadReused(KeyManagementError):
    """Somebody asked for one-time-pad bits that were spent before; refused, whatever the reason."""


class BlockUnknown(KeyManagementError):
    """A key block that this end does not hold (or holds unconfirmed)."""


class StoreFailed(KeyManagementError):
    """The key store could not make a transaction durable; nothing of it happened."""


class StaleEpoch(KeyManagementError):
    """A message or a writer from before the last restart or restore."""
