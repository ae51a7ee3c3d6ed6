"""How many service tests run at a time: never two of one user, more while all goes well, fewer while keys come late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from qanat.apps.acceptance.causes import Cause
from qanat.apps.acceptance.plan import KINDS, ServiceTest
from qanat.apps.acceptance.run import Result, Runner

AT_ONCE = 5


def some_tests(num_tests: int, num_pairs: int) -> list[ServiceTest]:
    return [
        ServiceTest(number, KINDS[0], f"a{number % num_pairs}", f"b{number % num_pairs}", 1.0)
        for number in range(num_tests)
    ]


class Paced(Runner):
    """A runner whose tests only last a moment, and end as they are told to."""

    def __init__(self, folder: Path, first_cause: Callable[[int], Cause]) -> None:
        super().__init__(folder, folder / "run", seed=1, at_once=AT_ONCE)
        self.first_cause = first_cause
        self.under_way: list[ServiceTest] = []
        self.most: list[int] = []
        self.begun: list[int] = []

    async def _test(self, test: ServiceTest) -> Result:
        assert not any(test.names & other.names for other in self.under_way), "a user is in one test at a time"
        self.under_way.append(test)
        self.begun.append(test.number)
        self.most.append(len(self.under_way))
        await asyncio.sleep(0.001)
        self.under_way.remove(test)
        first = self.first_cause(test.number)
        return Result(test, Cause.SUCCESS, 1, first, "", "", False, 0.0, 0.0, 0, 0)


def run(runner: Runner, tests: Sequence[ServiceTest]) -> list[Result]:
    async def work() -> list[Result]:
        async with runner:
            return await runner.run(tests)

    return asyncio.run(work())


def test_more_run_at_a_time_while_all_goes_well_up_to_the_most(tmp_path: Path) -> None:
    runner = Paced(tmp_path, lambda _: Cause.SUCCESS)
    tests = some_tests(60, num_pairs=60)
    assert [result.test for result in run(runner, tests)] == tests
    assert max(runner.most[:5]) <= 4
    assert max(runner.most) == AT_ONCE


def test_one_runs_at_a_time_while_keys_come_late(tmp_path: Path) -> None:
    runner = Paced(tmp_path, lambda number: Cause.NO_KEY if number < 20 else Cause.SUCCESS)
    run(runner, some_tests(60, num_pairs=60))
    assert set(runner.most[8:20]) == {1}
    assert max(runner.most) > 2, "and more again when that is over"


def test_a_user_is_in_one_test_at_a_time_and_others_go_before(tmp_path: Path) -> None:
    runner = Paced(tmp_path, lambda _: Cause.SUCCESS)
    assert len(run(runner, some_tests(30, num_pairs=2))) == 30
    assert max(runner.most) == 2


def test_who_stops_a_run_gets_what_is_done(tmp_path: Path) -> None:
    runner = Paced(tmp_path, lambda _: Cause.SUCCESS)

    def stop_at(number: int) -> Cause:
        runner.is_stopped = number == 10 or runner.is_stopped
        return Cause.SUCCESS

    runner.first_cause = stop_at
    done = run(runner, some_tests(60, num_pairs=60))
    assert 10 < len(done) < 20
    assert sorted(runner.begun) == [result.test.number for result in done]
