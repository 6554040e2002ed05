"""The tests' own machinery: virtual time, the census, the blocking-call check."""

from __future__ import annotations

import asyncio
import textwrap
import threading
import time
from collections.abc import Callable

import hypothesis
import pytest
from blockbuster import BlockingError
from hypothesis import strategies as st

import endwell.errors
from tests.virtual_time import VirtualDeadlock, VirtualTimeLoop

# -- virtual time --------------------------------------------------------------------------------------------


async def test_async_tests_run_in_virtual_time_by_default() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    assert loop.time() == 0


async def test_waiting_costs_virtual_time_only() -> None:
    started = time.monotonic()
    await asyncio.sleep(3600 * 24 * 365)
    assert asyncio.get_running_loop().time() == 3600 * 24 * 365
    assert time.monotonic() - started < 30


async def test_timers_fire_in_order_at_exact_times() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    for delay in (0.3, 0.1, 0.1 + 0.1, 15, 5):
        loop.call_later(delay, lambda: fired.append(loop.time()))
    await asyncio.sleep(20)
    assert fired == [0.1, 0.2, 0.3, 5, 15]


async def test_time_stands_still_while_a_task_can_run() -> None:
    for _ in range(100):
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() == 0


async def test_a_computation_can_be_said_to_take_time() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.advance(0.25)
    assert loop.time() == 0.25


def test_a_wait_without_end_is_an_error_that_names_the_task() -> None:
    async def wait_for_ever() -> None:
        await asyncio.get_running_loop().create_future()

    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(VirtualDeadlock, match="wait_for_ever"),
    ):
        runner.run(wait_for_ever())


async def test_a_thread_at_work_holds_the_clock() -> None:
    def work() -> int:
        return sum(range(3_000_000))  # some 50 ms of processor, many slices

    async with asyncio.timeout(0.001):
        assert await asyncio.to_thread(work)


async def test_a_thread_that_wakes_the_loop_is_waited_for_when_no_timer_is_left() -> None:
    released = asyncio.Event()
    loop = asyncio.get_running_loop()
    thread = threading.Timer(0.05, loop.call_soon_threadsafe, (released.set,))
    thread.start()
    await released.wait()


async def test_the_clock_jumps_past_a_blocked_thread() -> None:
    release = threading.Event()
    blocked = asyncio.ensure_future(asyncio.to_thread(release.wait))
    await asyncio.sleep(15)
    assert not blocked.done()
    release.set()
    await blocked


@pytest.mark.real_time
async def test_real_time_is_had_by_asking() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)


@pytest.mark.real_time(loop="uvloop")
async def test_uvloop_is_had_by_asking() -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")


# -- the census ----------------------------------------------------------------------------------------------


@pytest.fixture
def run_inside(pytester: pytest.Pytester) -> Callable[[str], pytest.RunResult]:
    """Runs one test file in a pytest of its own, under the same conftest as this one."""
    pytester.makeconftest("from tests.conftest import *\nfrom tests.conftest import _census")

    def run(source: str) -> pytest.RunResult:
        pytester.makepyfile("import asyncio, socket, threading, pytest\n" + textwrap.dedent(source))
        return pytester.runpytest_inprocess(
            "-Werror", *(f"-pno:{each}" for each in ("anyio", "cacheprovider", "randomly"))
        )

    return run


LEAKS = {
    "*task:*lingering*": """
        async def test():
            pytest.kept = asyncio.create_task(asyncio.sleep(1), name="lingering")
        """,
    "*neither exhausted nor closed*numbers*": """
        async def numbers():
            yield 1
        async def test():
            pytest.kept = numbers()
            await anext(pytest.kept)
        """,
    "*left to the garbage collector*numbers*": """
        async def numbers():
            yield 1
        async def test():
            await anext(numbers())
        """,
    "*unheard of*nobody asked*": """
        async def fail():
            raise RuntimeError("nobody asked")
        async def test():
            asyncio.create_task(fail())
            await asyncio.sleep(1)
        """,
    "*descriptor *socket:*": """
        @pytest.fixture(scope="module", autouse=True)
        def end():
            yield
            pytest.kept.close()
        def test():
            pytest.kept = socket.socket()
        """,
    "*ResourceWarning*": """
        def test():
            socket.socket()
        """,
    "*thread:*endwell source*": """
        @pytest.fixture(scope="module", autouse=True)
        def end():
            pytest.kept = threading.Event()
            yield
            pytest.kept.set()
        def test():
            threading.Thread(target=pytest.kept.wait, name="endwell source", daemon=True).start()
        """,
}


@pytest.mark.parametrize("complaint", LEAKS)
def test_what_a_test_leaves_behind_is_reported(
    run_inside: Callable[[str], pytest.RunResult], monkeypatch: pytest.MonkeyPatch, complaint: str
) -> None:
    monkeypatch.setattr(pytest, "kept", None, raising=False)
    result = run_inside(LEAKS[complaint])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([complaint])


def test_a_test_that_leaves_nothing_passes(run_inside: Callable[[str], pytest.RunResult]) -> None:
    result = run_inside(
        """
        async def numbers():
            yield 1
            yield 2
        class TestClass:
            @pytest.mark.parametrize("end", [1, 2])
            async def test(self, end):
                with socket.socket():
                    generator = numbers()
                    assert await anext(generator) == 1
                    await generator.aclose()
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.to_thread(threading.get_ident))
        """
    )
    result.assert_outcomes(passed=2)


# -- examples and blocking calls -----------------------------------------------------------------------------


@hypothesis.given(delay=st.floats(0, 1e6))
async def test_each_example_of_a_property_has_a_loop_of_its_own(delay: float) -> None:
    assert asyncio.get_running_loop().time() == 0
    await asyncio.sleep(delay)


async def test_a_blocking_call_made_by_endwell_is_an_error() -> None:
    exec_in_endwell = compile("sleep(0)", endwell.errors.__file__, "exec")
    with pytest.raises(BlockingError):
        exec(exec_in_endwell, {"sleep": time.sleep})


@pytest.mark.may_block
async def test_a_test_can_ask_for_blocking_calls() -> None:
    exec(compile("sleep(0)", endwell.errors.__file__, "exec"), {"sleep": time.sleep})
