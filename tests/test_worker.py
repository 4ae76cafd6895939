import asyncio
import os
import signal
import time
from collections.abc import Sequence

import pytest

from schemas.topics import TRIGGER_COMMANDS, Topic
from streams import worker
from streams.api.namespaces import ensure_namespace
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.broker import Sends
from streams.runtime.commands import Commands
from streams.runtime.definitions import list_definitions
from streams.worker import WorkerFailedError, open_context, run_agents
from tests.support import eventually


class Agent:
    """An agent that runs until it is stopped, unless told otherwise."""

    def __init__(self, name: str = "steady", error: Exception | None = None, leaves: bool = False) -> None:
        self.name = name
        self.running = False
        self.finished = False
        self.stubborn = False
        self._error = error
        self._leaves = leaves
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask it to end."""
        if not self.stubborn:
            self._stopping.set()

    async def run(self) -> None:
        """Run."""
        self.running = True
        if self._error is not None:
            raise self._error
        if not self._leaves:
            await self._stopping.wait()
        self.finished = True


class Listener(Agent):
    """A command agent."""

    listens: Topic = TRIGGER_COMMANDS

    def __init__(self) -> None:
        super().__init__("listener")
        self.seen: list[bytes | None] = []

    async def receive(self, value: bytes | None) -> None:
        """Take one message in."""
        self.seen.append(value)


async def all_running(agents: Sequence[Agent]) -> bool:
    return all(agent.running for agent in agents)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_every_agent(context: Context, number: signal.Signals) -> None:
    agents = [Agent("one"), Agent("two")]
    task = asyncio.create_task(run_agents(context, agents))
    await eventually(lambda: all_running(agents))
    os.kill(os.getpid(), number)
    await task
    assert all(agent.finished for agent in agents)


async def test_an_agent_that_does_not_listen_is_cancelled(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "GRACE_SECONDS", 0.1)
    deaf, other = Agent("deaf"), Agent("other")
    deaf.stubborn = True
    task = asyncio.create_task(run_agents(context, [deaf, other]))
    await eventually(lambda: all_running([deaf, other]))
    os.kill(os.getpid(), signal.SIGTERM)
    await task
    assert other.finished
    assert not deaf.finished


async def test_one_failure_stops_the_others_and_says_which_and_why(context: Context) -> None:
    other = Agent("other")
    with pytest.raises(WorkerFailedError, match="station broken failed: ValueError: the disk is full"):
        await run_agents(context, [other, Agent("broken", ValueError("the disk is full"))])
    assert other.finished


async def test_an_agent_that_returns_unasked_is_a_failure(context: Context) -> None:
    with pytest.raises(WorkerFailedError, match="station brief ended by itself"):
        await run_agents(context, [Agent("brief", leaves=True), Agent("other")])


async def test_a_command_agent_hears_its_topic_and_the_others_do_not_wait_for_it(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    others_run = asyncio.Event()

    class HeldBack(Commands):
        async def run(self) -> None:
            await others_run.wait()
            await super().run()

    monkeypatch.setattr(worker, "Commands", HeldBack)
    listener, other = Listener(), Agent("other")
    task = asyncio.create_task(run_agents(context, [listener, other]))
    await eventually(lambda: all_running([other]))
    others_run.set()
    producer = context.broker.producer()
    await producer.start()
    sends = Sends(producer)
    await sends.send(context.broker.topic(TRIGGER_COMMANDS), b"ns/t", b"run it")
    await sends.acknowledged()
    await producer.stop()

    async def heard() -> bool:
        return listener.seen == [b"run it"]

    await eventually(heard)
    os.kill(os.getpid(), signal.SIGTERM)
    started = time.monotonic()
    await task
    assert time.monotonic() - started < 5, "promised are two seconds; the machine may be busy"


async def test_preparing_is_safe_when_several_processes_start_at_once(context: Context) -> None:
    async def start() -> None:
        async with open_context(context.settings) as fresh:
            await ensure_namespace(fresh.database, fresh.settings.namespace)

    await asyncio.gather(*(start() for _ in range(5)))
    async with context.database.connection() as connection:
        found = await list_definitions(connection, "namespace")
    assert [definition.record.name for definition in found] == ["default"]


def test_the_agents_of_these_tests_are_stream_agents() -> None:
    agents: list[StreamAgent] = [Agent(), Listener()]
    assert len(agents) == 2
