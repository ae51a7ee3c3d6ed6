"""Text of strangers as it may be shown, or stand in a file's name: nothing in it steers a terminal.

What joins emoji into one (U+200D) is taken between two emoji only. Elsewhere it is invisible and makes one name look
like another, as do the characters of its kind that turn the direction of writing: none of these is taken anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

JOINER = "\u200d"
_EMOJI = (
    range(0x2190, 0x2200),
    range(0x2600, 0x27C0),
    range(0x2B00, 0x2C00),
    range(0x1F000, 0x1F3FB),
    range(0x1F400, 0x1FB00),
)
"""Arrows, miscellaneous symbols and dingbats, and the planes of pictographs, without the colours of skin."""
_CHANGES = frozenset("\ufe0f" + "".join(map(chr, range(0x1F3FB, 0x1F400))))
"""What follows an emoji and changes its look: that it is drawn in colour, and a colour of skin."""


def harmless(text: str) -> Iterator[tuple[str, bool]]:
    """Give each character, and whether it may be shown."""
    is_after_emoji = False
    for place, letter in enumerate(text):
        if letter == JOINER:
            yield letter, is_after_emoji and _is_emoji(text[place + 1 : place + 2])
            is_after_emoji = False
        else:
            yield letter, letter.isprintable()
            is_after_emoji = _is_emoji(letter) or (is_after_emoji and letter in _CHANGES)


def _is_emoji(letter: str) -> bool:
    return bool(letter) and any(ord(letter) in some for some in _EMOJI)
