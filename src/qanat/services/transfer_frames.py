"""The frames of a file transfer, sealed so that none can be altered, moved, repeated or taken from another transfer.

    transfer = OPENING 1*( KEYS READY 1*CHUNK ) RECEIPT        READY and RECEIPT come from the receiver
    REFUSAL ends it at any place, from either side

Every frame but the refusal is sealed by AES-128-GCM (NIST SP 800-38D). The opening names a *control key*, which seals
the frames without content; each chunk has a key of its own. Associated data of a seal:

    opening: kind header           all others: SHA-256(header of the opening) kind header

with the kind as one byte and the header as it stands in the frame. The nonce is the kind (one byte), three zero bytes,
and a number (eight bytes, big-endian) that no other frame of this kind and key has. See docs/formats/file-transfer.md.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from qanat.ground.errors import AuthenticationFailed, BadParameter, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import MAX_FRAME_BYTES, PREFIX_BYTES, canonical_json, decode_frame, encode_frame
from qanat.ground.identifiers import EventId, KeyID, RequestId, SaeId, canonical_key_id

KEY_BITS = 128
TAG_BYTES = 16
DIGEST_BYTES = 32
MAX_KEYS_PER_FRAME = 1024
MAX_NAME_BYTES = 255
MAX_REASON_CHARACTERS = 400
OVERHEAD_BYTES = 1024
"""More than a chunk's frame has besides its content."""
MAX_CHUNK_BYTES = MAX_FRAME_BYTES - OVERHEAD_BYTES

_NONCE = struct.Struct(">BxxxQ")


class TransferKind(enum.IntEnum):
    """Frame kinds of this protocol."""

    OPENING = 0x60
    KEYS = 0x61
    READY = 0x62
    CHUNK = 0x63
    RECEIPT = 0x64
    REFUSAL = 0x65


@dataclass(frozen=True, slots=True)
class WireFrame:
    """A frame as it arrived: what it says, and the bytes of its header, which its seal covers."""

    kind: int
    header: Mapping[str, Json]
    raw_header: bytes
    body: bytes = field(repr=False)


def parse_frame(data: bytes) -> WireFrame:
    """Return the frame that ``data`` is; raises FrameError."""
    frame = decode_frame(data)
    return WireFrame(frame.kind, frame.header, data[PREFIX_BYTES : len(data) - len(frame.body)], frame.body)


def seal_frame(
    kind: TransferKind,
    header: Mapping[str, Json],
    content: bytes | bytearray | memoryview = b"",
    *,
    cipher: AESGCM,
    number: int,
    transfer: bytes,
) -> bytes:
    """Return a sealed frame.

    ``number`` is unique among the frames of this kind under ``cipher``'s key; ``transfer`` is the digest of the
    transfer's opening (empty for the opening itself).
    """
    associated = transfer + bytes((kind,)) + canonical_json(header)
    return encode_frame(kind, header, cipher.encrypt(_NONCE.pack(kind, number), content, associated))


def open_frame(frame: WireFrame, *, cipher: AESGCM, number: int, transfer: bytes) -> bytes:
    """Return the content of a sealed frame; raises AuthenticationFailed when anything of it is not as it was sealed."""
    associated = transfer + bytes((frame.kind,)) + frame.raw_header
    try:
        return cipher.decrypt(_NONCE.pack(frame.kind, number), frame.body, associated)
    except InvalidTag:
        raise AuthenticationFailed(
            f"{TransferKind(frame.kind).name.lower()} {number} of a file transfer does not fit its seal: "
            "it was altered on the way, or the two ends hold different keys",
            remedy="look for who alters the classical line, then send the file again; its keys are used up",
        ) from None


def refusal_frame(reason: str) -> bytes:
    """Return the frame that ends a transfer. It has no seal: whoever can forge it could cut the line as well."""
    return encode_frame(TransferKind.REFUSAL, {"reason": reason[:MAX_REASON_CHARACTERS]})


def refusal_reason(frame: WireFrame) -> str:
    """Return what a refusal says, printable and short: it is a stranger's text."""
    reason = str(frame.header.get("reason", "no reason given"))[:MAX_REASON_CHARACTERS]
    return "".join(letter if letter.isprintable() else "?" for letter in reason)


@dataclass(frozen=True, slots=True)
class Opening:
    """What the sender says first. ``cause`` is its event of step 9, which the receiver's step 10 names as its cause."""

    sender: SaeId
    request_id: RequestId
    cause: EventId
    name: str
    size_bytes: int | None
    chunk_bytes: int
    key_id: KeyID

    def header(self) -> dict[str, Json]:
        return {
            "cause": self.cause,
            "chunk_bytes": self.chunk_bytes,
            "key_id": self.key_id,
            "name": self.name,
            "request_id": self.request_id,
            "sender": self.sender,
            "size_bytes": self.size_bytes,
        }

    def digest(self) -> bytes:
        """Return what binds all later frames to this transfer. The key id in it was never used before."""
        return hashlib.sha256(canonical_json(self.header())).digest()

    @classmethod
    def parse(cls, frame: WireFrame) -> Opening:
        """Return the opening in a frame, its seal unchecked; raises FrameError."""
        match dict(frame.header):
            case {
                "cause": str(cause),
                "chunk_bytes": int(chunk_bytes),
                "key_id": str(key_id),
                "name": str(name),
                "request_id": str(request_id),
                "sender": str(sender),
                "size_bytes": int() | None as size_bytes,
                **others,
            } if (
                frame.kind == TransferKind.OPENING
                and not others
                and is_file_name(name)
                and 0 < chunk_bytes <= MAX_CHUNK_BYTES
                and (size_bytes is None or size_bytes >= 0)
            ):
                opening = cls(
                    sender=SaeId(sender),
                    request_id=RequestId(request_id),
                    cause=EventId(cause),
                    name=name,
                    size_bytes=size_bytes,
                    chunk_bytes=chunk_bytes,
                    key_id=key_id_of(key_id),
                )
                if canonical_json(opening.header()) == frame.raw_header:
                    return opening
        raise FrameError("this is no opening of a file transfer", remedy="update the older side")


def key_id_of(value: Json) -> KeyID:
    """Return a key id out of a frame; raises FrameError."""
    try:
        return canonical_key_id(str(value))
    except BadParameter as fault:
        raise FrameError(fault.message, remedy=fault.remedy) from None


def is_file_name(name: str) -> bool:
    """Return whether ``name`` names a file in a folder, and nothing above or below it."""
    return (
        name not in ("", ".", "..")
        and len(name.encode("utf-8", "replace")) <= MAX_NAME_BYTES
        and not any(map(_cannot_stand, name))
    )


def file_name_for_all(name: str) -> str:
    """Return a bare file name as it may stand on any system: '_' for each character that some system refuses.

    The result is a file name in the sense of ``is_file_name`` if ``name`` is one of at most 255 bytes here.
    """
    return "".join("_" if _cannot_stand(character) else character for character in name)


def _cannot_stand(character: str) -> bool:
    return not character.isprintable() or character in '/\\:*?"<>|'
