"""Topics of few messages, over Faust: each message goes to one agent, in order, and nothing is lost.

What is relied on of Faust 0.15.3, and pinned by ``tests/runtime/test_commands.py``: with ``concurrency=1`` an
agent that returns normally sees every message of a partition once and in order, and commits after it. What is
avoided because it loses messages (design section 2): more concurrency, ``take``, tables, an agent that raises.

Faust's consumer is made by :class:`Broker` like every other one: its own cannot pass SASL options through and
fixes the fetch wait at 1.5 s. Its producer is not started.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import faust
import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.app.base import BootStrategy
from faust.transport.drivers import aiokafka as driver

from streams.runtime.agent import CommandAgent
from streams.runtime.broker import Broker

log = structlog.get_logger(__name__)

STATION = "commands"
"""The consumer group of the command topics."""
STOP_SECONDS = 1.0


class _App(faust.App):  # type: ignore[misc,unused-ignore]
    def _create_directories(self) -> None:
        """None are needed: they would hold tables, and would be made where the process was started."""


class _ConsumerOnly(BootStrategy):  # type: ignore[misc,unused-ignore]
    enable_kafka_producer = False
    enable_web = False


def _transport(broker: Broker, consuming: asyncio.Event) -> type[driver.Transport]:
    """Faust's Kafka transport over consumers of ``broker``; ``consuming`` is set when its thread is up."""

    class Thread(driver.AIOKafkaConsumerThread):  # type: ignore[misc,unused-ignore]
        async def on_thread_started(self) -> None:
            await super().on_thread_started()
            self.parent_loop.call_soon_threadsafe(consuming.set)

        async def on_thread_stop(self) -> None:
            # Leaving a group waits for a join that is under way, which takes some brokers many seconds.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await super().on_thread_stop()

        def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
            self._assignor = RoundRobinPartitionAssignor
            return broker.consumer(
                station=STATION, partition_assignment_strategy=[RoundRobinPartitionAssignor], max_poll_records=100
            )

    class Consumer(driver.Consumer):  # type: ignore[misc,unused-ignore]
        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return Thread(self, loop=self.loop, beacon=self.beacon)

    class Transport(driver.Transport):  # type: ignore[misc,unused-ignore]
        pass

    Transport.Consumer = Consumer
    return Transport


def _agent_function(receive: Callable[[bytes | None], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def agent(stream: AsyncIterator[bytes | None]) -> None:
        async for value in stream:
            await receive(value)

    return agent


def command_app(broker: Broker, agents: Sequence[CommandAgent], consuming: asyncio.Event) -> faust.App:
    """A Faust application with one plain function per agent. Made inside a running event loop; ``consuming``
    is set when it has reached the broker."""
    app = _App(
        broker.group(STATION),
        broker="kafka://",  # The scheme chooses the transport below; addresses come from our own consumer.
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        broker_commit_interval=1.0,
        stream_wait_empty=False,
    )
    app.boot_strategy = _ConsumerOnly(app)
    app.transport = _transport(broker, consuming)(app.conf.broker_consumer, app)
    for agent in agents:
        topic = app.topic(broker.topic(agent.listens), value_type=bytes, value_serializer="raw", internal=False)
        app.agent(topic, name=agent.name, concurrency=1)(_agent_function(agent.receive))
    return app


class Commands:
    """Runs the Faust application of a process as one agent beside the others."""

    name = STATION

    def __init__(self, broker: Broker, agents: Sequence[CommandAgent]) -> None:
        self._broker = broker
        self._agents = agents
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ask :meth:`run` to return."""
        self._stopping.set()

    async def run(self) -> None:
        """Receive until :meth:`stop`. Raises what crashed Faust."""
        consuming = asyncio.Event()
        app = command_app(self._broker, self._agents, consuming)
        starting = asyncio.create_task(app.start(), name="faust")
        stopping = asyncio.create_task(self._stopping.wait())
        crashed = asyncio.create_task(app._crashed.wait())
        up = asyncio.create_task(consuming.wait())
        try:
            await asyncio.wait({stopping, crashed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # A thread of Faust that is stopped while it starts is left behind.
            await asyncio.wait({up, crashed}, timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            await app.stop()
            for task in (starting, stopping, crashed, up):
                task.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        if app.crash_reason is not None:
            raise app.crash_reason
