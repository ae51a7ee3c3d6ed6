"""The two ends of a relayed batch compare what they hold, without telling it: a hash under a one-time pad, end to end.

Each hop of a relay is authenticated; that a relay hands on what it was given is not. So every share carries CHECK_BITS
more than its part of the keys: a point and a mask, random like the rest and used up by this one comparison. Points are
added modulo the prime P = 2^130 - 5 and masks modulo 2^128; whoever lacks one share knows nothing of either sum. With
the sums r and y, and what is compared cut into 16-byte blocks m_1 ... m_d, little-endian, the last of which tells the
lengths,

    H(r) = r^(d+2) + m_1 r^d + m_2 r^(d-1) + ... + m_d r   modulo P
    check = (H(r) + y) modulo 2^128

The target says its check; the origin compares it with its own. The mask hides all of H(r): nobody learns a bit of the
keys.

**What it shows.** Let somebody who lacks one share alter the others, and with them the keys in any way he likes, the
point by a and the mask by b; and let him change the check on its way back by c. The ends hold different blocks m and
m', and their checks agree only if H'(r + a) - H(r) is one of at most 8 values (those that are -b - c modulo 2^128, over
twice the range of H). As a polynomial in r that difference is not constant: where the numbers of blocks differ, by its
highest power; where a is not 0, by (d + 2) a r^(d+1), which is why H begins as it does; else by m' - m. Its degree is
at most d + 2, and r has 2^128 equally likely values. So it goes unnoticed with odds of at most

    8 (d + 2) / 2^128        (``odds_unnoticed``)

whatever his computer, and even where he knows the keys. (Cramer, Dodis, Fehr, Padro and Wichs, Eurocrypt 2008, call
such a code one that detects algebraic manipulation.) Who has all shares, as a relay on the only way has, knows r and y
and can say the check of any keys: against him it shows nothing.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Sequence

from qanat.ground.keys import SecretBytes

CHECK_BYTES = 32
"""What each share carries besides its part of the keys: 16 bytes of point, 16 of mask."""
CHECK_BITS = 8 * CHECK_BYTES
_BLOCK_BYTES = 16
_PRIME = (1 << 130) - 5
_MASK = (1 << 128) - 1
_STRIDE = 32
"""So many blocks are multiplied by powers of the point before they are reduced together."""


def end_check(shares: Sequence[SecretBytes], header: bytes, keys: SecretBytes) -> str:
    """Return the check of ``keys`` and of the public ``header``, in hexadecimal digits; shares stay the caller's.

    shares: each ends with its CHECK_BYTES; those of one batch, in any order.
    """
    ends = [share.part(len(share) - CHECK_BYTES, len(share)).take() for share in shares]
    point = sum(int.from_bytes(end[:16], "little") for end in ends) % _PRIME
    mask = sum(int.from_bytes(end[16:], "little") for end in ends)
    return f"{_polynomial(point, _blocks(header, keys.reveal())) + mask & _MASK:032x}"


def odds_unnoticed(*, header_bytes: int, key_bytes: int) -> float:
    """Return the bound on two ends that differ and whose checks agree (see above)."""
    blocks = -(-header_bytes // _BLOCK_BYTES) - (-key_bytes // _BLOCK_BYTES) + 1
    return min(1.0, 8 * (blocks + 2) / 2.0**128)


def _blocks(header: bytes, keys: bytes) -> list[int]:
    """Return the coefficients 1, 0, m_1 ... m_d. Other data give other blocks: the last one tells both lengths."""
    parts = [part + bytes(-len(part) % _BLOCK_BYTES) for part in (header, keys)]
    data = b"".join((*parts, struct.pack("<QQ", len(header), len(keys))))
    return [1, 0, *(low | high << 64 for low, high in struct.iter_unpack("<QQ", data))]


def _polynomial(point: int, blocks: Sequence[int]) -> int:
    """Return the sum of blocks[i] point^(n - i) modulo the prime."""
    powers = [1]
    for _ in range(min(_STRIDE, len(blocks))):
        powers.append(powers[-1] * point % _PRIME)
    total = 0
    for start in range(0, len(blocks), _STRIDE):
        some = blocks[start : start + _STRIDE]
        size = len(some)
        total = (total * powers[size] + sum(map(operator.mul, some, powers[size:0:-1]))) % _PRIME
    return total
