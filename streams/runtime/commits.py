"""What follows a batch while the next is in hand: what its station has left to do for it, then Kafka's commit.

A batch whose results are durable need not be committed before the next is read: until then a crash has it read
again, as a crash within it would. So nothing waits for commits, and batches that follow each other closely share
one. Only a rebalance waits: what may move to another worker is committed first.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol, runtime_checkable

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from streams.runtime.backoff import pause

log = structlog.get_logger(__name__)

EVERY_SECONDS: Final = 0.1
"""From the beginning of one commit to the next, while batches follow each other."""

Last = Mapping[TopicPartition, ConsumerRecord]
"""Of each partition the last record that was handled."""


@runtime_checkable
class SettlingHandler(Protocol):
    """What a handler may have besides: work that comes after the results of batches and before their commit."""

    async def settle(self, last: Last) -> None:
        """Do it for all batches handled since it was asked last. Runs beside ``handle``; after it has raised it
        is asked again, for the same batches and those that came since."""
        ...


class Commits:
    """The commits of one consumer, behind what its handler did."""

    def __init__(self, handler: Any, consumer: AIOKafkaConsumer) -> None:
        self._name: str = handler.name
        self._handler = handler if isinstance(handler, SettlingHandler) else None
        self._consumer = consumer
        self._last: dict[TopicPartition, ConsumerRecord] = {}
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._begun = 0.0

    def add(self, last: Last) -> None:
        """Commit behind these records, soon."""
        self._last.update(last)
        if self._task is None:
            self._task = asyncio.create_task(self._commit(), name=f"commits of {self._name}")

    def go_on(self) -> None:
        """Raise what a commit failed with; called again after that, try it again."""
        if self._task is not None and self._task.done():
            task, self._task = self._task, None
            task.result()
        if self._last:
            self.add({})

    async def finish(self) -> None:
        """Commit everything now. What this raises is not tried again: what is not committed is forgotten."""
        self._hurry.set()
        try:
            self.go_on()
            if self._task is not None:
                await asyncio.shield(self._task)
        finally:
            self._hurry.clear()
            self._last.clear()

    async def drop(self) -> None:
        """Commit nothing more."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._last.clear()

    async def _commit(self) -> None:
        while self._last:
            await pause(self._hurry, self._begun + EVERY_SECONDS - time.monotonic())
            self._begun = time.monotonic()
            last, self._last = self._last, {}
            try:
                if self._handler is not None:
                    await self._handler.settle(last)
                await self._consumer.commit({tp: record.offset + 1 for tp, record in last.items()})
            except (CommitFailedError, IllegalStateError):
                # The group moved on without us: the batch is done, its new owner will do it again with the same
                # ids. Positions in PostgreSQL are not affected.
                log.info("commit_refused", station=self._name)
            except BaseException:
                self._last = {**last, **self._last}
                raise
