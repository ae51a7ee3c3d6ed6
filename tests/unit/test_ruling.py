"""Two controllers: who rules, as each sees it."""

from __future__ import annotations

import pytest

from qanat.control.ruling import SECOND_WAITS_S, STARTS_LATER_S, Ruling, other_of
from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId
from qanat.key_management.wire import ControllerHere


def ruling(local: NodeId, *, is_alone: bool = False) -> Ruling:
    return Ruling(local, None if is_alone else other_of(local), takeover_after_s=3.0, now_s=0.0)


def test_one_that_is_alone_rules_at_once() -> None:
    assert ruling(CONTROLLER, is_alone=True).is_to_begin(now_s=0.0)


def begins_at(one: Ruling, *, after_s: float) -> float:
    """Return when a controller that looks twice a second begins to rule, within a minute."""
    moments = [after_s + step / 2 for step in range(1, 120)]
    return next(moment for moment in moments if one.is_to_begin(now_s=moment))


def test_of_two_that_start_together_the_first_rules() -> None:
    assert begins_at(ruling(CONTROLLER), after_s=0.0) == 3.0
    assert begins_at(ruling(STANDBY), after_s=0.0) == 3.0 + SECOND_WAITS_S


def test_one_that_hears_the_other_rule_stands_by_until_it_is_silent() -> None:
    one = ruling(STANDBY)
    for moment in range(60):
        one.hear(ControllerHere(7, rules=True), now_s=float(moment))
        assert not one.is_to_begin(now_s=float(moment))
    one.hear(ControllerHere(7, rules=False), now_s=61.0)
    assert begins_at(one, after_s=59.0) == 59.0 + 3.0 + SECOND_WAITS_S, "that it does not rule is no word of a ruler"


def test_who_takes_over_does_so_in_a_higher_epoch_whatever_its_clock_says() -> None:
    one = ruling(STANDBY)
    one.hear(ControllerHere(2_000, rules=True), now_s=0.0)
    one.note_epoch(2_005)  # of a table that a key manager has
    assert one.next_epoch(utc_s=1_000.0) == 2_006
    assert one.next_epoch(utc_s=3_000.0) == 3_000


@pytest.mark.parametrize("local", [CONTROLLER, STANDBY])
@pytest.mark.parametrize(("theirs", "ends"), [(9, False), (11, True)])
def test_of_two_that_rule_the_lower_epoch_stands_down(local: NodeId, theirs: int, ends: bool) -> None:
    one = ruling(local)
    one.rules = True
    one.hear(ControllerHere(theirs, rules=True), now_s=1.0)
    assert one.is_to_end(10) is ends


def test_in_one_and_the_same_epoch_the_first_goes_on() -> None:
    for local, ends in ((CONTROLLER, False), (STANDBY, True)):
        one = ruling(local)
        one.rules = True
        one.hear(ControllerHere(10, rules=True), now_s=1.0)
        assert one.is_to_end(10) is ends


class Heard:
    """A recorder that notes what is raised and ended."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def alarm(self, code: str, _: str, *, about: str) -> None:
        self.told.append(f"{code} {about}")

    def alarm_over(self, code: str, *, about: str) -> None:
        self.told.append(f"over: {code} {about}")


def test_one_that_stood_still_itself_does_not_say_that_the_other_did() -> None:
    one, heard = ruling(CONTROLLER), Heard()
    for moment in (1.0, 2.0, 16.0, 17.0, 18.0, 19.0):
        if moment <= 2.0:
            one.hear(ControllerHere(7, rules=False), now_s=moment)
        one.tell_silence(heard, now_s=moment)  # type: ignore[arg-type]
    over, raised = (f"{word}other-controller-silent standby" for word in ("over: ", ""))
    assert heard.told == [over, over, over, over, over, raised], "3 s of its own time after it was heard last"


def test_one_that_has_never_been_heard_has_time_to_start() -> None:
    one, heard = ruling(CONTROLLER), Heard()
    for moment in range(1, int(STARTS_LATER_S) + 5):
        one.tell_silence(heard, now_s=float(moment))  # type: ignore[arg-type]
    over, raised = (f"{word}other-controller-silent standby" for word in ("over: ", ""))
    assert heard.told == [over] * (int(STARTS_LATER_S) + 2) + [raised] * 2


def test_one_that_stands_by_and_stood_still_does_not_take_over_from_a_ruler_that_goes_on() -> None:
    one = ruling(STANDBY)
    for moment in (1.0, 2.0):
        one.hear(ControllerHere(7, rules=True), now_s=moment)
        assert not one.is_to_begin(now_s=moment)
    assert not one.is_to_begin(now_s=17.0), "what the ruler has said meanwhile has yet to be read"
    one.hear(ControllerHere(7, rules=True), now_s=17.1)
    assert begins_at(one, after_s=17.0) == 22.5, "five seconds after it was heard last"


def test_what_a_ruler_said_before_it_died_is_no_reason_to_wait_as_long_as_one_stood_still() -> None:
    """Its last words lay in the socket, and are read before the clock is looked at."""
    one = ruling(STANDBY)
    one.hear(ControllerHere(7, rules=True), now_s=1.0)
    assert not one.is_to_begin(now_s=1.0)
    one.hear(ControllerHere(7, rules=True), now_s=3601.0)
    assert begins_at(one, after_s=3601.0) == 3606.5
