"""A text to several, sealed once under one key that all of them hold (``additional_slave_SAE_IDs`` of ETSI GS QKD 014).

    {"group": [sae, ...], "record": base64, "text": id}     in the conversation with each: in place of the text's word

The record is the only one of a stream from the sender to all recipients together; its content is the text's word. The
key of all keeps it from everybody else, and cannot tell who of them sealed it. That is told by the conversation that
carries it, which is sealed between the two: what another member seals, it can say in its own name only.

A recipient whose key manager has not got the key (it was given before, or the text waited for too long) answers
{"again": id}, and is told the text under the keys of the two.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import MAX_ID_CHARACTERS, SaeId, slaves_together
from qanat.services.ciphers import NotForUs, RecipientKeys, StreamContext, StreamOpener, StreamSealer, Suite
from qanat.services.ciphers.layout import RecordKind
from qanat.services.conversation import Party, Terms, sender_keys, word_in

MOST_RECIPIENTS = 16


@dataclass(frozen=True, slots=True)
class SealedForGroup:
    """A text's record, and for whom it was sealed; the key is not in it."""

    recipients: tuple[SaeId, ...]
    suite: Suite
    record: bytes

    def word(self, text_id: str) -> dict[str, Json]:
        """Return what each recipient is told."""
        told: dict[str, Json] = {"record": base64.b64encode(self.record).decode(), "suite": self.suite.value}
        return told | {"group": list(self.recipients), "text": text_id}

    @classmethod
    def parse(cls, word: Mapping[str, Any]) -> SealedForGroup:
        """Return what a word says; raises FrameError."""
        match word:
            case {"group": [*saes], "record": str(record), "suite": str(suite), "text": str()} if (
                len(word) == 4
                and suite in (Suite.AES_128_GCM, Suite.AES_256_GCM)
                and 2 <= len(saes) <= MOST_RECIPIENTS
                and all(isinstance(sae, str) and 0 < len(sae) <= MAX_ID_CHARACTERS and " " not in sae for sae in saes)
            ):
                try:
                    return cls(tuple(map(SaeId, saes)), Suite(suite), base64.b64decode(record, validate=True))
                except (binascii.Error, ValueError):
                    pass
        raise FrameError("this is no text to a group", remedy="update the older side")


async def seal_for_group(
    party: Party, recipients: Sequence[SaeId], word: Mapping[str, Json], *, text_id: str, terms: Terms
) -> SealedForGroup:
    """Seal a text's word once for all; raises KeyShortage and what the supply raises."""
    context = _context(party.sae, recipients, text_id, terms.suite)
    sealer = StreamSealer(context, sender_keys(party, context, terms))
    try:
        record = await sealer.seal(canonical_json(word), kind=RecordKind.CONTROL, is_last=True)
    finally:
        sealer.forget()
    return SealedForGroup(tuple(recipients), terms.suite, record)


async def open_from_group(party: Party, sealed: SealedForGroup, *, sender: SaeId, text_id: str) -> dict[str, Json]:
    """Return the word in a record that ``sender`` has told us in a conversation of the two.

    Raises NotForUs when we are none of its recipients, KeyUnknown when the key cannot be had (any more), Altered,
    FrameError and what the supply raises.
    """
    if party.sae not in sealed.recipients:
        raise NotForUs("a text to a group that we are not in", remedy="let the sender look at its directory")
    context = _context(sender, sealed.recipients, text_id, sealed.suite)
    opener = StreamOpener(context, RecipientKeys(party.supply, context, clock=party.clock))
    try:
        word = word_in(await opener.open(sealed.record))
        opener.finish()
    finally:
        opener.forget()
    return word


def _context(sender: SaeId, recipients: Sequence[SaeId], text_id: str, suite: Suite) -> StreamContext:
    return StreamContext(sender, slaves_together(recipients), f"text/{text_id}", suite)
