"""The process pool: answers, refusals, deaths, and nobody left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.act.failures import ActionError, ChildDiedError
from streams.act.frames import WORD, chunks_of, value_of, word
from streams.act.pool import Pool
from tests.act import work
from tests.support import eventually


def alive(pid: int) -> bool:
    """Whether a process exists and is more than an entry waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(*pids: int) -> bool:
    """None of the processes is left."""
    return not any(alive(pid) for pid in pids)


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    """A pool of one process."""
    pool = Pool(1)
    yield pool
    await pool.close()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=50), st.lists(st.integers(0, 3_000_000), max_size=2))
def test_a_frame_is_read_back_whatever_its_parts(body: bytes, sizes: list[int]) -> None:
    value = (body, [np.arange(size, dtype=np.uint8) for size in sizes])
    data = b"".join(bytes(chunk) for chunk in chunks_of(value))
    count = word(data[:WORD])
    lengths = [word(data[WORD * (n + 1) : WORD * (n + 2)]) for n in range(count)]
    parts, at = [], WORD * (count + 1)
    for length in lengths:
        parts.append(bytearray(data[at : at + length]))
        at += length
    assert at == len(data)
    read_body, arrays = value_of(parts)
    assert read_body == body
    assert len(arrays) == len(sizes)
    assert all(np.array_equal(a, b) for a, b in zip(arrays, value[1], strict=True))


async def test_an_array_goes_there_and_back_and_the_process_stays(pool: Pool) -> None:
    values = np.arange(3_000_000, dtype=np.float32)
    answer = await pool.run(work.double, values)
    assert np.array_equal(answer, values * 2)
    assert values[1] == 1.0
    first = await pool.run(work.pid, None)
    assert first != os.getpid()
    assert await pool.run(work.pid, None) == first
    assert pool.pids == [first]


async def test_what_a_library_prints_does_not_reach_the_answer(pool: Pool) -> None:
    assert await pool.run(work.chatter, None) == "answer"
    assert await pool.run(work.chatter, None) == "answer"


async def test_numeric_libraries_use_one_thread(pool: Pool) -> None:
    assert await pool.run(work.environment, "OPENBLAS_NUM_THREADS") == "1"
    assert await pool.run(work.environment, "OMP_NUM_THREADS") == "1"


async def test_refusals_and_bugs_come_back_in_words(pool: Pool) -> None:
    with pytest.raises(ActionError, match=r"^too few documents$"):
        await pool.run(work.refuse, "too few documents")
    with pytest.raises(ActionError, match=r"^ValueError: eps must be positive$"):
        await pool.run(work.value_error, "eps must be positive")
    with pytest.raises(ActionError, match="KeyError"):
        await pool.run(work.bug, None)
    assert len(pool.pids) == 1


async def test_a_process_that_dies_is_told_and_replaced(pool: Pool) -> None:
    with pytest.raises(ChildDiedError, match="killed by SIGKILL"):
        await pool.run(work.die, signal.SIGKILL)
    with pytest.raises(ChildDiedError, match="ended with status 3"):
        await pool.run(work.leave, 3)
    assert await pool.run(work.pid, None) in pool.pids


async def test_a_process_killed_while_idle_is_replaced(pool: Pool) -> None:
    pid = await pool.run(work.pid, None)
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: gone(pid))
    try:
        answer = await pool.run(work.pid, None)
    except ChildDiedError:
        # The loop had not heard of the death yet; then the next call has a new process.
        answer = await pool.run(work.pid, None)
    assert answer != pid


async def test_cancelling_kills_the_computation(pool: Pool, tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    task = asyncio.create_task(pool.run(work.hang, str(marker)))

    async def computing() -> bool:
        return marker.exists()

    await eventually(computing)
    pid = int(marker.read_text())
    assert alive(pid)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(pid)
    assert await pool.run(work.pid, None) != pid


async def test_close_leaves_no_process() -> None:
    pool = Pool(2)
    pids = await asyncio.gather(pool.run(work.pid, None), pool.run(work.pid, None))
    assert len(set(pids)) == 2
    await pool.close()
    assert await gone(*pids)
    assert pool.pids == []


_PARENT = """
import asyncio, sys
from streams.act.pool import Pool
from tests.act import work
asyncio.run(Pool(1).run(work.hang, sys.argv[1]))
"""


async def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", _PARENT, str(marker))
    try:

        async def computing() -> bool:
            return marker.exists()

        await eventually(computing)
        child = int(marker.read_text())
        assert alive(child)
        parent.kill()
        await parent.wait()
        await eventually(lambda: gone(child), timeout=10)
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()
