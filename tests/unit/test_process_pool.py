"""Worker processes: jobs and streams, faults on both sides, and nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

import pytest

from qanat.adapters import process_pool
from qanat.adapters.process_pool import ProcessPool, Worker, default_num_workers, encode_job
from qanat.adapters.worker_process import STREAM_WINDOW, Kind
from qanat.ground.errors import KeyShortage, QuantumLayerError
from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Job, KernelPool
from unit.pool_jobs import (
    add,
    count,
    describe_worker,
    fail,
    fail_in_the_middle,
    meet,
    note,
    send_megabytes,
    sleep,
    wait_for_file,
)

pytestmark = pytest.mark.slow  # each starts a process


def with_pool(scene: Any, *, num_workers: int = 1, grace_s: float = 0.0) -> Any:
    async def run() -> Any:
        pool = ProcessPool(num_workers)
        try:
            return await scene(pool)
        finally:
            await pool.close(grace_s=grace_s)

    threads = threading.active_count()
    result = asyncio.run(run())
    assert threading.active_count() == threads
    gc.collect()  # an unclosed socket or an unwaited process would warn, and warnings are errors
    return result


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until the condition holds, at most half a minute; return what it gave."""
    async with asyncio.timeout(30):
        while not (value := condition()):  # noqa: ASYNC110 - what we wait for happens in another process
            await asyncio.sleep(0.005)
    return value


async def pid_in(path: Path) -> int:
    return int(await until(lambda: path.exists() and path.read_text()))


def test_a_job_runs_in_another_process_and_its_result_comes_back() -> None:
    async def scene(pool: KernelPool) -> dict[str, Any]:
        assert await pool.run(Job(add, (20,), {"other": 22})) == 42
        return await pool.run(Job(describe_worker))

    worker = with_pool(scene)
    assert worker["pid"] != os.getpid()
    assert worker["niceness"] == min(19, os.nice(0) + process_pool.NICENESS)
    assert worker["threads"] == {"1"}
    assert not worker["numpy"], "a worker loads what its jobs need, after its threads were limited"
    assert not is_running(worker["pid"])


def test_what_a_job_raises_is_raised_here() -> None:
    async def scene(pool: KernelPool) -> None:
        with pytest.raises(KeyShortage, match=r"too little \(wait\)") as shortage:
            await pool.run(Job(fail, ("shortage",)))
        assert shortage.value.retry_after_s == 7.5
        assert "in fail" in shortage.value.__notes__[0], "the traceback came along"
        for kind, text in (
            ("keywords", "a.yaml:3: bad line"),
            ("local", "LocalError: of a class"),
            ("exit", "SystemExit"),
        ):
            with pytest.raises(QuantumLayerError, match=text):
                await pool.run(Job(fail, (kind,)))
        with pytest.raises(ModuleNotFoundError):
            await pool.run(Job(_function_of_nowhere()))
        assert await pool.run(Job(add, (1,))) == 1, "the worker goes on"

    with_pool(scene)


def _function_of_nowhere() -> Any:
    def function() -> None: ...

    function.__module__, function.__qualname__ = "qanat_nowhere", "function"
    sys.modules["qanat_nowhere"] = cast(Any, type("Module", (), {"function": staticmethod(function)}))
    return function


def test_secrets_do_not_cross_the_pipe() -> None:
    async def scene(pool: KernelPool) -> None:
        with pytest.raises(TypeError, match="do not pickle"):
            await pool.run(Job(add, (SecretBytes(b"key"),)))
        with pytest.raises(TypeError, match="do not pickle"):
            await pool.run(Job(fail, ("secret",)))

    with_pool(scene)


def test_only_importable_functions_are_jobs() -> None:
    async def scene(pool: KernelPool) -> None:
        with pytest.raises(ValueError, match="cannot be imported"):
            await pool.run(Job(lambda: 1))

    with_pool(scene)


def test_a_stream_comes_in_order_and_never_runs_far_ahead(tmp_path: Path) -> None:
    made = tmp_path / "made"

    async def scene(pool: KernelPool) -> list[int]:
        numbers = []
        async with aclosing(pool.stream(Job(count, (20, str(made), str(tmp_path / "closed"))))) as values:  # type: ignore[type-var]
            async for number, _ in values:
                numbers.append(number)
                await asyncio.sleep(0.02)
                # taken, in the window, and one made that waits to be sent
                assert made.stat().st_size <= len(numbers) + STREAM_WINDOW + 1
        return numbers

    assert with_pool(scene) == list(range(20))
    assert (tmp_path / "closed").read_text() == "closed"


def test_large_values_cross_whole() -> None:
    async def scene(pool: KernelPool) -> None:
        values = [value async for value in pool.stream(Job(send_megabytes))]
        assert [set(value) for value in values] == [{0}, {1}, {2}]
        assert {len(value) for value in values} == {3_000_000}

    with_pool(scene)


def test_a_stream_that_fails_raises_after_its_values() -> None:
    async def scene(pool: KernelPool) -> None:
        values = pool.stream(Job(fail_in_the_middle))
        assert await anext(values) == 1
        with pytest.raises(KeyShortage):
            await anext(values)
        assert await pool.run(Job(add, (1,))) == 1

    with_pool(scene)


def test_closing_a_stream_closes_its_generator_and_keeps_the_worker(tmp_path: Path) -> None:
    async def scene(pool: KernelPool) -> None:
        values = cast(Any, pool.stream(Job(count, (10**6, str(tmp_path / "made"), str(tmp_path / "closed")))))
        pids = {pid async for _, pid in _first(values, 3)}
        await values.aclose()
        assert (tmp_path / "closed").read_text() == "closed"
        assert pids == {(await pool.run(Job(describe_worker)))["pid"]}

    with_pool(scene)


async def _first(values: AsyncIterator[Any], number: int) -> AsyncIterator[Any]:
    for _ in range(number):
        yield await anext(values)


@pytest.mark.slow
def test_a_stream_that_does_not_reach_its_next_value_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "STOP_GRACE_S", 0.05)

    async def scene(pool: KernelPool) -> None:
        job: Job[tuple[int, int]] = Job(count, (9, str(tmp_path / "made"), str(tmp_path / "closed")), {"stall_at": 1})
        values = cast(Any, pool.stream(job))
        _, pid = await anext(values)
        await values.aclose()
        assert not is_running(pid)
        assert (await pool.run(Job(describe_worker)))["pid"] != pid

    with_pool(scene)


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_job_and_is_replaced() -> None:
    async def scene(pool: KernelPool) -> None:
        with pytest.raises(QuantumLayerError, match=r"fail died \(killed by signal 9\)"):
            await pool.run(Job(fail, ("die",)))
        pid = (await pool.run(Job(describe_worker)))["pid"]
        os.kill(pid, signal.SIGKILL)  # this time while it has nothing to do
        await until(lambda: not cast(Any, pool)._idle[0].is_alive)
        assert await pool.run(Job(add, (1,))) == 1

    with_pool(scene)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_of_the_whole_group_leaves_workers_to_their_parent(number: signal.Signals) -> None:
    async def scene(pool: KernelPool) -> None:
        pid = (await pool.run(Job(describe_worker)))["pid"]
        os.kill(pid, number)
        assert (await pool.run(Job(describe_worker)))["pid"] == pid

    with_pool(scene)


def test_ctrl_c_does_not_reach_a_worker_that_has_just_begun() -> None:
    """Before it has read a line of its program: the parent's own stop must not look like a worker's death."""

    async def scene() -> None:
        worker = await Worker.start()
        os.kill(worker._process.pid, signal.SIGINT)
        await worker.send(Kind.RUN, encode_job(Job(describe_worker)))
        kind, _ = await worker.receive()
        assert kind is Kind.RESULT
        await worker.end()
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())

    asyncio.run(scene())


def test_jobs_wait_by_priority_and_then_in_order(tmp_path: Path) -> None:
    async def scene(pool: KernelPool) -> None:
        gate, order = tmp_path / "gate", str(tmp_path / "order")
        first = asyncio.create_task(pool.run(Job(wait_for_file, (str(gate),))))
        await asyncio.sleep(0)
        others = []
        for word, priority in (("c", 0), ("a", 2), ("d", 0), ("b", 1), ("gone", 3)):
            others.append(asyncio.create_task(pool.run(Job(note, (order, word)), priority=priority)))
            await asyncio.sleep(0)
        others.pop().cancel()
        gate.touch()
        await asyncio.gather(first, *others)

    with_pool(scene)
    assert (tmp_path / "order").read_text() == "abcd"


def test_workers_work_side_by_side(tmp_path: Path) -> None:
    async def scene(pool: KernelPool) -> None:
        gates = [str(tmp_path / name) for name in ("one", "two")]
        # each opens the other's gate only when both run
        await asyncio.gather(*(pool.run(Job(meet, (mine, theirs))) for mine, theirs in (gates, reversed(gates))))
        assert pool.num_workers == 2

    with_pool(scene, num_workers=2)


def test_cancelling_a_job_ends_it(tmp_path: Path) -> None:
    async def scene(pool: KernelPool) -> None:
        running = asyncio.create_task(pool.run(Job(sleep, (60.0, str(tmp_path / "pid")))))
        pid = await pid_in(tmp_path / "pid")
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not is_running(pid)
        assert await pool.run(Job(add, (1,))) == 1

    with_pool(scene)


def test_close_waits_for_jobs_that_end_in_time(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        gate = tmp_path / "gate"
        job = asyncio.create_task(pool.run(Job(wait_for_file, (str(gate),))))
        queued = asyncio.create_task(pool.run(Job(add, (1,))))
        await asyncio.sleep(0)
        closing = asyncio.create_task(pool.close(grace_s=60.0))
        await asyncio.sleep(0)
        gate.touch()
        await closing
        assert await job is None
        for refused in (queued, pool.run(Job(add, (1,)))):
            with pytest.raises(QuantumLayerError, match="closed"):
                await refused

    with_pool(scene)


def test_close_kills_what_still_runs(tmp_path: Path) -> None:
    async def scene(pool: ProcessPool) -> None:
        job = asyncio.create_task(pool.run(Job(sleep, (60.0, str(tmp_path / "pid")))))
        pid = await pid_in(tmp_path / "pid")
        await pool.close(grace_s=0.0)
        assert not is_running(pid)
        with pytest.raises(QuantumLayerError, match="died"):
            await job

    with_pool(scene)


def test_close_ends_streams_that_nobody_reads_on(tmp_path: Path) -> None:
    async def scene() -> None:
        pool = ProcessPool(1)
        values = pool.stream(Job(count, (10**6, str(tmp_path / "made"), str(tmp_path / "closed"))))
        _, pid = await anext(values)
        await pool.close(grace_s=0.05)
        assert not is_running(pid)
        with pytest.raises(QuantumLayerError, match=r"died|closed"):
            [value async for value in values]

    asyncio.run(scene())


PARENT = """
import asyncio, sys
from qanat.adapters.process_pool import ProcessPool
from qanat.ground.ports import Job
from pool_jobs import sleep
asyncio.run(ProcessPool(1).run(Job(sleep, (60.0, sys.argv[1]))))
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}

    async def scene() -> None:
        with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "pid")], env=environment) as parent:  # noqa: ASYNC220
            worker = await pid_in(tmp_path / "pid")
            assert is_running(worker)
            parent.kill()
        await until(lambda: not is_running(worker))  # its job would last a minute

    asyncio.run(scene())


def test_one_core_is_left_to_the_doors() -> None:
    assert default_num_workers() == max(1, len(os.sched_getaffinity(0)) - 1)
    with pytest.raises(ValueError, match="at least one worker"):
        ProcessPool(0)
