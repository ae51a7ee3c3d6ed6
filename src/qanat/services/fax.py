"""Fax: black-and-white pages from one application to another, checked by the recipient before it confirms them.

What travels is one file by the conversation of ``file_delivery``, under a service name of its own: a TIFF of pages by
ITU-T T.6 (Group 4), each 1,728 picture elements wide at 204 x 196 per inch, the fine resolution of ITU-T T.4. The
recipient reads every page before it says that it has them, so a confirmed fax is one that can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from qanat.ground.identifiers import SaeId

SERVICE = "fax"
DOTS_PER_INCH: Final = (204, 196)
"""Across and down the page."""
PAGE_DOTS: Final = (1728, 2287)
"""Across: ITU-T T.4's line of 215 mm. Down: the 297 mm of A4 at 7.7 lines per mm."""
MOST_PAGES = 200


@dataclass(frozen=True, slots=True)
class DeliveredFax:
    """The report of a delivery: the recipient has read all pages, and they lie with it as the file ``name``."""

    recipient: str
    name: str
    num_pages: int
    size_bytes: int
    sha256: str
    num_keys: int
    duration_s: float
    confirmed_utc_s: float


@dataclass(frozen=True, slots=True)
class ArrivedFax:
    """A fax that lies whole under ``name``."""

    name: str
    num_pages: int
    size_bytes: int
    sha256: str
    sender: SaeId
