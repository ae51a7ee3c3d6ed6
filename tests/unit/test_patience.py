"""How long a sender waits: what its line took counts for nothing, what its recipient has counts as progress."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.ground.errors import ChannelClosed, ChannelError
from qanat.users import services
from qanat.users.patience import Patience
from service_support import House
from unit.service_fakes import FakeClock
from unit.test_file_delivery import made_file, run

BROKEN = ChannelClosed("the line broke")


def patience(patience_s: float = 5.0) -> tuple[Patience, FakeClock, list[str]]:
    clock, told = FakeClock(), list[str]()
    return Patience(clock, patience_s, tell=told.append), clock, told


def test_who_cannot_be_reached_is_waited_for_so_long() -> None:
    waiting, clock, told = patience()
    for _ in range(5):
        waiting.broke(BROKEN)
        clock.now_s += 1.0
    with pytest.raises(ChannelClosed, match="the line broke"):
        waiting.broke(BROKEN)
    assert told == ["the line broke"], "people are told once"


def test_a_break_after_hours_on_one_line_is_waited_for_too() -> None:
    waiting, clock, _ = patience()
    waiting.had(0)
    clock.now_s += 10_000.0
    waiting.broke(BROKEN)
    clock.now_s += 4.0
    waiting.broke(BROKEN)
    clock.now_s += 1.0
    with pytest.raises(ChannelClosed):
        waiting.broke(BROKEN)


def test_each_try_that_gets_the_recipient_further_renews_it() -> None:
    waiting, clock, told = patience()
    for megabytes in range(100):
        waiting.had(megabytes * 2**20)
        waiting.broke(BROKEN)
        clock.now_s += 60.0
    assert told == ["the line broke"]


def test_a_recipient_that_answers_and_gets_no_further_does_not() -> None:
    waiting, clock, _ = patience()
    waiting.had(7)
    waiting.broke(BROKEN)
    clock.now_s += 3.0
    waiting.had(7)
    waiting.broke(BROKEN)
    clock.now_s += 3.0
    with pytest.raises(ChannelClosed):
        waiting.had(7)
    with pytest.raises(ChannelClosed):
        waiting.broke(BROKEN)


def test_a_silence_after_much_came_over_one_line_is_waited_for_too() -> None:
    """The line broke at the beginning, then carried much: what the recipient has of that, its next word will tell."""
    waiting, clock, _ = patience()
    waiting.had(0)
    waiting.broke(BROKEN)
    waiting.had(0)
    clock.now_s += 10_000.0
    waiting.broke(BROKEN)
    for _ in range(2):  # nobody answers while the recipient starts anew
        clock.now_s += 2.0
        waiting.broke(BROKEN)
    waiting.had(2**30)
    waiting.broke(BROKEN)
    clock.now_s += 4.0
    waiting.broke(BROKEN)
    clock.now_s += 1.0
    with pytest.raises(ChannelClosed):
        waiting.broke(BROKEN)


def test_answers_without_progress_between_silent_tries_do_not_renew_it() -> None:
    waiting, clock, _ = patience()
    waiting.had(7)
    waiting.broke(BROKEN)
    for _ in range(2):
        clock.now_s += 1.0
        waiting.broke(BROKEN)
        clock.now_s += 1.0
        waiting.had(7)
        waiting.broke(BROKEN)
    clock.now_s += 1.0
    with pytest.raises(ChannelClosed):
        waiting.had(7)


def test_before_the_first_answer_it_is_counted_from_the_beginning() -> None:
    waiting, clock, told = patience()
    clock.now_s += 5.0  # for key, and for a word that does not come
    with pytest.raises(ChannelClosed):
        waiting.broke(BROKEN)
    assert not told


def test_without_patience_there_is_one_try() -> None:
    waiting, _, told = patience(0.0)
    waiting.had(0)
    with pytest.raises(ChannelClosed):
        waiting.broke(BROKEN)
    assert not told


def test_lines_that_take_bytes_and_lose_them_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PAUSE_S", 0.02)

    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=1_000_000)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.cut_each_at = 20_000  # a part of the first record
            with pytest.raises(ChannelError) as fault:
                await alice.send(path, "bob", patience_s=0.2)
            assert "a line has to carry 70 kB" in fault.value.remedy
            assert spy.num_lines > 1, "it was tried again"
            spy.cut_each_at = None
            (sent,) = await alice.send(path, "bob")
        assert (house.folder("bob") / sent.name).read_bytes() == path.read_bytes()

    run(work())


@pytest.mark.parametrize(("num_bytes", "cut_at"), [(1_000_000, 300_000), (200_000, 70_000)])
def test_lines_that_each_carry_less_than_the_longest_record_carry_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_bytes: int, cut_at: int
) -> None:
    monkeypatch.setattr(services, "PAUSE_S", 0.02)

    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=num_bytes)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.cut_each_at = cut_at
            (sent,) = await alice.send(path, "bob", patience_s=5)
            assert spy.num_lines > 2
        assert (house.folder("bob") / sent.name).read_bytes() == path.read_bytes()

    run(work())


def test_lines_that_each_carry_a_part_carry_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "PAUSE_S", 0.02)

    async def work() -> None:
        house, path = House(tmp_path / "data"), made_file(tmp_path, num_bytes=6_000_000)
        async with house.reception("bob"), house.spied("bob") as spy, house.user("alice") as alice:
            spy.cut_each_at = 2_500_000
            (sent,) = await alice.send(path, "bob", patience_s=5)
            assert spy.num_lines > 2
        assert (house.folder("bob") / sent.name).read_bytes() == path.read_bytes()

    run(work())
