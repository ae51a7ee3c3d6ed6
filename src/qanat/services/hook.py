"""Keys for encryptors of others: both ends put the same key into a program of their machine, agreed by its id.

    leader    {"rotate": key_id, "slot": name}       slot: what both call the connection that the key is for
    follower  {"set": key_id}                        its program has the key
    leader    {"bye": true} (last record)            so has the leader's

The key itself never travels: each end gets it from its own key manager. The follower goes first; where the leader's
program fails then, the ends differ until the next rotation, which is why a leader that failed rotates again soon.
"""

from __future__ import annotations

from typing import Protocol

from qanat.ground.errors import BadParameter, FrameError, KeyManagementError, NotEntitled
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import KeyID, SaeId, canonical_key_id
from qanat.ground.keys import SecretKey
from qanat.services.ciphers import RecordKind
from qanat.services.ciphers.sender_keys import keys_with_patience
from qanat.services.conversation import Conversation, Party, refusing

SERVICE = "hook"
PROGRAM_FAULT = (
    "it could not put the key to its program",
    "its own output says why: mend that, or what its command says; the next rotation gives both a fresh key",
)
"""What the other end is told, reason and remedy, of a program that takes no key."""
KEY_BITS = 256
"""Of a pre-shared key of WireGuard, and of a PPK."""


class KeySlot(Protocol):
    """A program that takes keys."""

    async def check(self) -> None:
        """Raise ConfigurationError where it could take no key now, as far as that can be told without one."""

    async def put(self, key: bytes, /) -> None:
        """Let the program use this key from its next handshake on; raises ConfigurationError when it refuses."""


async def lead_rotation(conversation: Conversation, party: Party, slot: KeySlot, *, name: str) -> KeyID:
    """Put one fresh key into both ends' programs, and return its id.

    Raises KeyShortage and what the supply raises, RefusedByPeer, ConfigurationError of the own program.
    """
    async with refusing(conversation):
        (key,) = await keys_with_patience(
            party.supply,
            conversation.peer,
            count=1,
            size_bits=KEY_BITS,
            clock=party.clock,
            patience_s=conversation.terms.patience_s,
        )
        # sealed before the follower hears anything: its patience is short for who has not proved who it is
        word = canonical_json({"rotate": key.key_id, "slot": name})
        first = await conversation.sealed(word, kind=RecordKind.CONTROL)
        await conversation.greet()
        await conversation.pass_on(first)
        if await conversation.hear() != {"set": key.key_id}:
            raise FrameError("the follower set another key than it was told", remedy="update the older side")
        await _put(conversation, slot, key)
        await conversation.say({"bye": True}, is_last=True)
        return key.key_id


async def follow_rotation(
    conversation: Conversation, party: Party, slot: KeySlot, *, name: str, leader: SaeId
) -> KeyID:
    """Set the key that the leader names, and return its id; raises NotEntitled for everybody else, and BadParameter."""
    async with refusing(conversation):
        match await conversation.hear():
            case {"rotate": str(key_id), "slot": str(slot_name)}:
                _check(conversation.peer, leader, slot_name, name)
                key = await _fetched(party, leader, canonical_key_id(key_id))
            case _:
                raise FrameError("this is no word of a hook", remedy="update the older side")
        await _put(conversation, slot, key)
        await conversation.say({"set": key.key_id})
        if await conversation.hear() != {"bye": True}:
            raise FrameError("this is no word of a hook", remedy="update the older side")
        conversation.finish()
        return key.key_id


async def _put(conversation: Conversation, slot: KeySlot, key: SecretKey) -> None:
    """Give the key to the own program; the other end hears that this failed, and nothing of the program's words."""
    before, conversation.private_fault = conversation.private_fault, PROGRAM_FAULT
    await slot.put(key.take())
    conversation.private_fault = before


def _check(peer: SaeId, leader: SaeId, slot_name: str, name: str) -> None:
    if peer != leader:
        raise NotEntitled(f"{peer} sets no keys here: {leader} does", remedy="look at --with at both ends")
    if slot_name != name:
        raise BadParameter(f"a key for {slot_name!r}, and here is {name!r}", remedy="say the same --slot at both ends")


async def _fetched(party: Party, leader: SaeId, key_id: KeyID) -> SecretKey:
    (key,) = await party.supply.get_keys_by_id(leader, [key_id])
    if key.size_bits != KEY_BITS:
        raise KeyManagementError(
            f"a key of {key.size_bits} bits came, and {KEY_BITS} are needed", remedy="report the leader's key manager"
        )
    return key
