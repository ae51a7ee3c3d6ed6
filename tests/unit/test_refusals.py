"""What a caller is told to do when it is refused: what the recipient has to run, and nothing where nobody knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from qanat.adapters.encryptor_programs import CommandSlot
from qanat.ground.errors import BadParameter, QanatError
from qanat.ground.framing import encode_frame
from qanat.ground.identifiers import SaeId
from qanat.services.conversation import REFUSAL, Conversation, Party, RefusedByPeer, Terms, calling, refusing
from qanat.users.collecting import Sensor
from qanat.users.hook import Hook
from qanat.users.reception import Reception
from qanat.users.services import UserServices
from service_support import House, sae_of
from unit.service_fakes import ALICE, BOB, EVE, FakeClock, FakeEntropy, FakeLine, FakeSupply, KeyStock
from unit.test_file_delivery import run


async def called(alice: UserServices, service: str) -> QanatError:
    """Return why bob refuses a service to alice."""
    async with alice.line_to(alice.people.contact_of(sae_of("bob")), alice.terms) as line:
        conversation = calling(alice.party, line, sae_of("bob"), service=service, terms=alice.terms)
        await conversation.greet()
        await conversation.say({"open": True})
        with pytest.raises(RefusedByPeer) as refusal:
            await conversation.hear()
    return refusal.value


async def ask_by_hook(alice: UserServices) -> None:
    await Hook(alice, "bob", CommandSlot(("true",)), name="office").rotate()


async def ask_by_sensor(alice: UserServices) -> None:
    sensor = Sensor(alice, "bob", name="boiler")
    await sensor.put("71")
    await sensor.deliver()


@pytest.mark.parametrize(
    ("ask", "remedy"),
    [(ask_by_hook, "run `qanat hook ... --follow` here"), (ask_by_sensor, "run `qanat receive` here")],
)
def test_who_is_refused_a_service_hears_how_it_is_offered(
    tmp_path: Path, ask: Callable[[UserServices], Awaitable[None]], remedy: str
) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.user("alice") as alice:
            with pytest.raises(RefusedByPeer) as refusal:
                await ask(alice)
        assert refusal.value.remedy == f"{sae_of('bob')} says: {remedy}"

    run(work())


def test_a_tunnel_is_offered_by_an_option_and_a_service_that_nobody_knows_by_none(tmp_path: Path) -> None:
    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob"), house.user("alice") as alice:
            assert "says: run `qanat receive --tunnel PORT` here" in (await called(alice, "tunnel")).remedy
            assert "says: update the older side" in (await called(alice, "teleport")).remedy

    run(work())


def test_a_refusal_that_says_nothing_to_do_has_no_remedy(tmp_path: Path) -> None:
    async def refuse(conversation: Conversation) -> None:
        async with refusing(conversation):
            raise BadParameter("there is nothing to be had here")

    async def work() -> None:
        house = House(tmp_path / "data")
        bob, alice = house.user("bob"), house.user("alice")
        async with bob, alice, Reception(bob, house.folder("bob"), more={"shop": refuse}):
            refusal = await called(alice, "shop")
        assert str(refusal).endswith("refused: there is nothing to be had here")

    run(work())


@pytest.mark.parametrize(
    ("here", "message", "remedy"),
    [
        (EVE, f"{EVE} answers at the address of {BOB}, and took nothing", f"correct the address of {BOB}"),
        (BOB, f"{BOB} heard another name than its own", "look for who changes bytes on the line"),
    ],
)
def test_a_wrong_address_is_blamed_only_where_another_answers(here: SaeId, message: str, remedy: str) -> None:
    """Where the one who was called answers, its address is right, and the name was altered on the way."""
    caller = Party(ALICE, FakeSupply(KeyStock(), ALICE), FakeClock(), FakeEntropy("alice"))
    conversation = calling(caller, FakeLine(), BOB, service="file", terms=Terms())
    with pytest.raises(RefusedByPeer) as refusal:
        conversation.hear_in_clear(encode_frame(REFUSAL, {"reason": "not for us", "remedy": "none", "here": here}))
    assert refusal.value.message.startswith(message)
    assert refusal.value.remedy.startswith(remedy)
