"""Stages in a thread of their own: a clustering of thousands of documents must not hold up the server."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from psycopg.errors import QueryCanceled

from streams.engines.retrieval.errors import BudgetError
from streams.engines.retrieval.execution.corpus import Corpus, Nearest, Scope
from streams.engines.retrieval.stages.stage import Row, Vector

T = TypeVar("T")


class Deadline:
    """When an execution has to end. A ``Check``."""

    def __init__(self, clock: Callable[[], float], milliseconds: float) -> None:
        self._clock = clock
        self._started = clock()
        self.milliseconds = milliseconds
        self._stopped = threading.Event()
        self._asking: set[Future[Any]] = set()

    def stop(self) -> None:
        """End it now: also a question that is being answered."""
        self._stopped.set()
        for question in list(self._asking):
            question.cancel()

    @contextmanager
    def over(self, question: "Future[Any]") -> Iterator[float]:
        """Let :meth:`stop` cancel a question while it is answered; gives the seconds it may take."""
        self._asking.add(question)
        try:
            if self._stopped.is_set():
                question.cancel()
            yield max(0.0, self.milliseconds / 1_000 - (self._clock() - self._started))
        finally:
            self._asking.discard(question)

    @property
    def stopped(self) -> bool:
        """Whether it was ended early."""
        return self._stopped.is_set()

    def __call__(self) -> None:
        """Raises :class:`BudgetError` when the time is over."""
        if self._stopped.is_set():
            raise self.ended()
        if (used := (self._clock() - self._started) * 1_000) > self.milliseconds:
            raise self.passed(used)

    def ended(self) -> BudgetError:
        """The error of an execution that was stopped."""
        return BudgetError("Budget exceeded: the execution was stopped")

    def passed(self, used: float) -> BudgetError:
        """The error of an execution that took too long."""
        return BudgetError(f"Budget exceeded: {used:.0f} ms used of {self.milliseconds:g} ms allowed")


async def apart(make: Callable[[Corpus], Coroutine[Any, Any, T]], corpus: Corpus, deadline: Deadline) -> T:
    """Run what ``make`` makes of a corpus in a thread; the corpus itself goes on living in this loop. When this is
    cancelled it returns after the thread has ended: nobody then uses the corpus any more."""
    there = _FromThread(corpus, asyncio.get_running_loop(), deadline)
    running = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(make(there))))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        deadline.stop()
        await asyncio.wait([running])
        raise


class _FromThread:
    """A corpus of another loop."""

    def __init__(self, corpus: Corpus, loop: asyncio.AbstractEventLoop, deadline: Deadline) -> None:
        self._corpus = corpus
        self._loop = loop
        self._deadline = deadline

    async def _there(self, question: Callable[[], Awaitable[T]]) -> T:
        self._deadline()

        async def asked() -> T:
            return await question()

        answering = asyncio.run_coroutine_threadsafe(asked(), self._loop)
        try:
            # Whoever gives up waiting cancels the question, and with it the statement the database is at.
            with self._deadline.over(answering) as seconds:
                return await asyncio.wait_for(asyncio.wrap_future(answering), seconds)
        except (QueryCanceled, TimeoutError) as error:
            raise self._deadline.passed(self._deadline.milliseconds) from error
        except asyncio.CancelledError:
            if self._deadline.stopped:
                raise self._deadline.ended() from None
            raise

    async def nearest(self, asked: Nearest, scope: Scope) -> list[Row]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.nearest(asked, scope))

    async def lexical(self, text: str, k: int, scope: Scope) -> list[Row]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.lexical(text, k, scope))

    async def scan(self, scope: Scope, limit: int) -> list[Row]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.scan(scope, limit))

    async def count(self, scope: Scope) -> int:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.count(scope))

    async def get(self, collection_id: str, document_ids: Sequence[str]) -> list[Row]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.get(collection_id, document_ids))

    async def lookup(self, collection_id: str, field: str, values: Sequence[Any]) -> list[list[Row]]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.lookup(collection_id, field, values))

    async def vectors_of(
        self, collection_id: str, document_ids: Sequence[str], feature_uri: str
    ) -> Mapping[str, Vector]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.vectors_of(collection_id, document_ids, feature_uri))

    async def features(self, collections: tuple[str, ...] | None) -> Mapping[str, int]:
        """As ``Corpus`` says."""
        return await self._there(lambda: self._corpus.features(collections))

    async def collections(self) -> tuple[str, ...]:
        """As ``Corpus`` says."""
        return await self._there(self._corpus.collections)

    def position(self) -> Mapping[str, Any] | None:
        """As ``Corpus`` says."""
        return self._corpus.position()
