"""A tunnel's two ends on this machine: a port that programs connect to, and the program that it leads to.

Between them is TLS 1.3 under a key of the network, of its own for each connection; in it go the sealed records of a
conversation, whose keys are replaced while the connection is open, as those of TLS cannot be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from qanat.adapters.buffer_line import AnsweredInClear
from qanat.adapters.programs import ProgramLine, ProgramServer, connect_program
from qanat.ground.errors import NotEntitled, PeerProtocolError, QanatError
from qanat.services import tunnel
from qanat.services.conversation import Conversation, calling, refusing
from qanat.services.directory import THIS_MACHINE, Address
from qanat.users.line_keys import fresh_psk
from qanat.users.pump import Carried, Pump
from qanat.users.services import UserServices
from qanat.users.supply import TakenKey, TellingSupply

ANSWER_S = 1.0
"""Beyond its patience an answer of the key manager may take so long, or it counts as hanging."""


class Tunnel:
    """Listens at a port of this machine; each connection to it goes to ``recipient``; an async context manager.

    ``on_fault``, ``on_end``: told of each connection that failed, or ended, in the event loop. ``on_wait``: a
    connection stands still, since the key that is due has not come. ``on_key``: told of each key that it seals by.
    ``with_tls``: around the records; without it a connection takes a key less. ``on_tls``: told of each connection's
    cipher suite, as OpenSSL names it, once both ends have agreed on it.
    Raises UnknownNode, and BadParameter for a one-time pad.
    """

    def __init__(
        self,
        user: UserServices,
        recipient: str,
        *,
        listen: Address = (THIS_MACHINE, 0),
        with_tls: bool = True,
        on_fault: Callable[[QanatError], None] = lambda _: None,
        on_end: Callable[[Carried], None] = lambda _: None,
        on_wait: Callable[[], None] = lambda: None,
        on_key: Callable[[TakenKey], None] = lambda _: None,
        on_tls: Callable[[str], None] = lambda _: None,
    ) -> None:
        tunnel.check_suite(user.terms.suite)
        contact = user.people.single(recipient, what="a tunnel")
        self._user = user
        self._sae = contact.sae
        self._server = ProgramServer(self._carry, host=listen[0], port=listen[1])
        self._with_tls = with_tls
        self._on_fault = on_fault
        self._on_end = on_end
        self._on_wait = on_wait
        self._on_key = on_key
        self._on_tls = on_tls

    @property
    def port(self) -> int:
        return self._server.port

    async def __aenter__(self) -> Self:
        """Listen; raises ConfigurationError when the port cannot be had."""
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop()

    async def _carry(self, program: ProgramLine) -> None:
        user = self._user
        supply = TellingSupply(
            user.party.supply,
            say=lambda _: self._on_wait(),
            on_key=self._on_key,
            every_time=True,
            limit_s=user.terms.patience_s + ANSWER_S,
        )
        party = replace(user.party, supply=supply)
        psk = functools.partial(fresh_psk, party, self._sae, terms=user.terms) if self._with_tls else None
        try:
            async with user.line_to(user.people.contact_of(self._sae), user.terms, key_first=True, psk=psk) as line:
                conversation = calling(party, line, self._sae, service=tunnel.SERVICE, terms=user.terms)
                async with refusing(conversation):
                    await _opened(conversation)
                    if line.suite:
                        self._on_tls(line.suite)
                    await _pumped(conversation, program, self._on_end)
        except QanatError as fault:
            program.reset()
            self._on_fault(fault)


class TunnelEnd:
    """Where tunnels of others lead to: one program, for contacts alone; the answer to ``Reception``'s ``more``.

    ``on_end``: told of each connection that ended, in the event loop.
    """

    def __init__(
        self, user: UserServices, target: Address, *, on_end: Callable[[Carried], None] = lambda _: None
    ) -> None:
        self._user = user
        self._target = target
        self._on_end = on_end

    async def serve(self, conversation: Conversation) -> None:
        """Carry one connection. Raises NotEntitled for a stranger, and PeerProtocolError when no program answers."""
        async with refusing(conversation):
            await tunnel.hear_opening(conversation)
            self._check_known(conversation)
            program = await self._program()
            try:
                await tunnel.say_opened(conversation)
                await _pumped(conversation, program, self._on_end)
            finally:
                program.reset()

    def _check_known(self, conversation: Conversation) -> None:
        known = self._user.people.directory.contacts.values()
        if all(contact.sae != conversation.peer for contact in known):
            raise NotEntitled(
                f"{conversation.peer} is no contact of {self._user.people.me.name}: no tunnel is open to strangers",
                remedy="let the recipient write it into its directory",
            )

    async def _program(self) -> ProgramLine:
        try:
            return await connect_program(*self._target)
        except OSError:
            raise PeerProtocolError(
                "the program that the tunnel leads to does not answer", remedy="let the recipient start it"
            ) from None


async def _opened(conversation: Conversation) -> None:
    """Open the caller's end; raises what ``tunnel.ask_to_open`` raises, also where the other end gave up before TLS."""
    try:
        await tunnel.ask_to_open(conversation)
    except AnsweredInClear as odd:
        conversation.hear_in_clear(odd.answer)
        raise


async def _pumped(conversation: Conversation, program: ProgramLine, on_end: Callable[[Carried], None]) -> None:
    """Run a pump, tell what it has carried however it ends, and raise the first of its faults as itself."""
    pump = Pump(conversation, program)
    try:
        await pump.run()
        on_end(pump.carried)
    except BaseExceptionGroup as faults:
        on_end(pump.carried)
        ours, others = faults.split(QanatError)
        raise _first(others or ours or faults) from None


def _first(fault: BaseException) -> BaseException:
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
