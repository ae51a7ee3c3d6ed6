"""Pre-shared keys for lines under TLS, apart from what speaks it: most lines go without, and its import takes time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from qanat.ground.errors import BadParameter

HANDSHAKE: Final = 22
"""The first byte of a record of TLS that is part of a handshake (RFC 8446, 5.1)."""
APPLICATION_DATA: Final = 23
CONTENT_TYPES: Final = frozenset({20, 21, HANDSHAKE, APPLICATION_DATA})
HEAD_BYTES: Final = 5
"""Of a record: its content's type, a version, and how many bytes follow."""
MOST_HELLO_BYTES: Final = 2**13
"""A caller's first flight is one record, no longer than this."""
MOST_IDENTITY_BYTES: Final = 2**10
KEY_BITS: Final = (128, 256)


@dataclass(frozen=True, slots=True)
class PreSharedKey:
    """A key that both ends have, and the name they call it by on the line. Raises BadParameter.

    ``identity`` is seen by everybody on the line. ``secret``: 128 or 256 bits.
    """

    identity: bytes
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if 8 * len(self.secret) not in KEY_BITS or not 0 < len(self.identity) <= MOST_IDENTITY_BYTES:
            raise BadParameter(
                f"a pre-shared key of {8 * len(self.secret)} bits under a name of {len(self.identity)} bytes",
                remedy=f"give 128 or 256 bits, and 1 to {MOST_IDENTITY_BYTES} bytes of a name",
            )


PskOf = Callable[[bytes], Awaitable[PreSharedKey]]
"""Finds the key of an identity that a caller has named; raises what the caller may be told of."""
