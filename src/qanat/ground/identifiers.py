"""Names of things. All are strings on the wire; the types keep them apart in the code."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from qanat.ground.errors import BadParameter

NodeId = NewType("NodeId", str)
"""A site of the QKD network: user node, trusted relay, switch."""
LinkId = NewType("LinkId", str)
"""A QKD link: two modules and their channels."""
ModuleId = NewType("ModuleId", str)
"""One end of a QKD link: a device or its twin."""
OrderId = NewType("OrderId", str)
BlockId = NewType("BlockId", str)
RequestId = NewType("RequestId", str)
"""One wish of an application, from its first step to its last."""
EventId = NewType("EventId", str)
MessageId = NewType("MessageId", str)
SaeId = NewType("SaeId", str)
"""A secure application entity: whoever asks a key manager for keys (ETSI GS QKD 014)."""
KmeId = NewType("KmeId", str)
KeyID = NewType("KeyID", str)
"""UUID4 of a key, in its canonical 36-character spelling."""
Epoch = NewType("Epoch", int)
"""Grows by one at each start or restore of a key store."""
Topic = NewType("Topic", str)
"""What a waiting coroutine can be woken by."""

CONTROLLER = NodeId("controller")
"""The QKDN controller's name on the transport."""
STANDBY = NodeId("standby")
"""The name of the controller that takes over from it, where there is one."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?")
MAX_ID_CHARACTERS = 64


_KEY_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_UUID_VARIANT = {f"{digit:x}": f"{digit & 0x3 | 0x8:x}" for digit in range(16)}
"""What becomes of the hexadecimal digit of a UUID that holds its variant (RFC 9562, section 4.1)."""


@dataclass(frozen=True, slots=True, order=True)
class SaePair:
    """Who asks for a key first (master) and who fetches it by its id (slave).

    ``slave`` may stand for several, who all get the same keys (``slaves_together``).
    """

    master: SaeId
    slave: SaeId


def slaves_together(slaves: Iterable[SaeId]) -> SaeId:
    """Return the name of several applications that get the same keys, as it stands for the slave in a ``SaePair``.

    Their ids in order, joined by spaces, which no id of ours has; one application alone has its own name. Raises
    BadParameter for an id that could be taken for several.
    """
    names = sorted(slaves)
    if odd := [name for name in names if not name or " " in name]:
        raise BadParameter(f"{odd[0]!r} is no id of an application", remedy="name one application at a time")
    return SaeId(" ".join(names))


def members_of(slaves: SaeId) -> tuple[SaeId, ...]:
    """Return the applications that ``slaves_together`` named."""
    return tuple(SaeId(name) for name in slaves.split(" "))


def is_name(text: str) -> bool:
    """Return whether ``text`` may name a network, node, link or SAE: lower-case letters, digits, ``. _ -`` inside."""
    return _NAME.fullmatch(text) is not None


def sae_id(*, network: str, name: str) -> SaeId:
    """Return the SAE id ``urn:qanat:<network>:sae:<name>`` (at most 64 characters, no slash)."""
    return SaeId(_urn(network, "sae", name))


def kme_id(*, network: str, name: str) -> KmeId:
    """Return the KME id ``urn:qanat:<network>:kme:<name>``."""
    return KmeId(_urn(network, "kme", name))


def twin_id(*, network: str, link_id: LinkId) -> str:
    """Return the id ``urn:qanat:<network>:twin:<link>`` of a link's twin that runs in a process of its own."""
    return urn(network, "twin", link_id)


def canonical_key_id(text: str) -> KeyID:
    """Return ``text`` as a key id; raises BadParameter when it is no UUID."""
    if _KEY_ID.fullmatch(text):
        return KeyID(text)  # most come as they should; the library's reader takes ten times as long
    try:
        return KeyID(str(uuid.UUID(text)))
    except ValueError:
        raise BadParameter(f"{text!r} is no key id", remedy="key ids are UUIDs, 36 characters") from None


def uuid4_from(random_bytes: bytes) -> str:
    """Return the UUID4 made of 16 random bytes (RFC 9562, section 5.4)."""
    if len(random_bytes) != 16:
        raise ValueError(f"a UUID has 16 bytes, not {len(random_bytes)}")
    digits = random_bytes.hex()
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{_UUID_VARIANT[digits[16]]}{digits[17:20]}-{digits[20:]}"


def urn(network: str, kind: str, name: str) -> str:
    """Return the URN of a thing, however long: whoever reads names checks with it whether they fit."""
    return f"urn:qanat:{network}:{kind}:{name}"


def _urn(network: str, kind: str, name: str) -> str:
    made = urn(network, kind, name)
    if not (is_name(network) and is_name(name)) or len(made) > MAX_ID_CHARACTERS:
        raise BadParameter(
            f"{made!r} is no id of this network",
            remedy=f"lower-case letters, digits, '.', '_', '-'; at most {MAX_ID_CHARACTERS} characters in all",
        )
    return made
