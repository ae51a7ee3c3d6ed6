"""Keys of the network for lines under TLS: who calls takes one for its line, who answers finds it by its name.

identity    CALLER/ANSWERER/KEY    the SAE IDs of the key's master and slave, and the key's id (ETSI GS QKD 014, 6)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from qanat.adapters.psk import PreSharedKey
from qanat.ground.errors import BadParameter, FrameError, KeyNotFound, NotEntitled
from qanat.ground.identifiers import KeyID, SaeId, canonical_key_id
from qanat.services.ciphers import KeyUnknown, NotForUs
from qanat.services.ciphers.sender_keys import keys_with_patience
from qanat.services.conversation import Party, Terms, printable
from qanat.users.people import People

GetPsk: TypeAlias = Callable[[], Awaitable[PreSharedKey]]


async def fresh_psk(party: Party, peer: SaeId, *, terms: Terms) -> PreSharedKey:
    """Return a fresh key with ``peer`` of as many bits as ``terms`` have for a record's; raises KeyShortage and what
    the supply raises."""
    (key,) = await keys_with_patience(
        party.supply,
        peer,
        count=1,
        size_bits=terms.suite.key_bits,
        clock=party.clock,
        patience_s=terms.patience_s,
    )
    return PreSharedKey(f"{party.sae}/{peer}/{key.key_id}".encode(), key.take())


async def psk_of(identity: bytes, *, party: Party, people: People) -> PreSharedKey:
    """Return the key that a caller names.

    Raises FrameError for a name of another form, NotForUs when somebody else is wanted, NotEntitled where who calls is
    no contact, KeyUnknown where our key manager does not hold it, and what the supply raises of itself.
    """
    caller, answerer, key_id = _parts(identity)
    if answerer != party.sae:
        raise NotForUs(
            f"{caller} calls {answerer}, and here is {party.sae}",
            remedy="let the caller check the address of its contact",
        )
    if all(contact.sae != caller for contact in people.directory.contacts.values()):
        raise NotEntitled(
            f"{caller} is no contact of {people.me.name}: no line under TLS is open to strangers",
            remedy="let the recipient write it into its directory; where nobody of that name called, look for who "
            "changes bytes on the line",
        )
    try:
        (key,) = await party.supply.get_keys_by_id(caller, [key_id])
    except (KeyNotFound, NotEntitled, BadParameter):
        raise KeyUnknown(
            f"a line was to be sealed under key {key_id}, which our key manager does not hold for us from {caller}: "
            "the call was played again, altered on the way, is for somebody else, or waited for too long",
            remedy="let the caller call again; if it did not call twice, look for who repeats it or changes its bytes",
        ) from None
    return PreSharedKey(identity, key.take())


def caller_in(identity: bytes) -> SaeId | None:
    """Return who asked for a key by this name, as it says itself; None where the name is none of ours."""
    try:
        return _parts(identity)[0]
    except FrameError:
        return None


def _parts(identity: bytes) -> tuple[SaeId, SaeId, KeyID]:
    try:
        caller, answerer, key_id = identity.decode("ascii").split("/")
        return SaeId(printable(caller)), SaeId(printable(answerer)), canonical_key_id(key_id)
    except (ValueError, BadParameter):
        raise FrameError(
            "the pre-shared key that TLS was asked for has no name of ours, or its name was altered on the way",
            remedy="a `qanat tunnel` may call again: if it did call, look for who changes bytes on the line; other "
            "programs that speak TLS take keys by `qanat hook command`",
        ) from None
