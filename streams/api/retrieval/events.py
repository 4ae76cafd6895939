"""An execution as server-sent events: every stage as it begins and ends, then the whole (contract 4.6)."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
import structlog

from schemas.api.base import JsonObject
from streams.api.retrieval.running import Answer, Question
from streams.engines.retrieval.execution.detail import document
from streams.engines.retrieval.execution.execute import Watch
from streams.engines.retrieval.execution.prepare import PreparedStage
from streams.engines.retrieval.execution.statistics import Stat
from streams.engines.retrieval.stages.stage import Row
from streams.retrieval.apart import Deadline

log = structlog.get_logger(__name__)


class Events:
    """The events of one execution, from the thread of its stages to the loop that sends them. A ``Watch``."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._deadline: Deadline | None = None
        self._first: bytes | None = None

    def watch(self, deadline: Deadline) -> Watch:
        """Begin to watch an execution that ends with ``deadline``."""
        self._deadline = deadline
        return self

    def started(self, index: int, stage: PreparedStage) -> None:
        """As ``Watch`` says."""
        self._put(self._event("stage_start", stage, index))

    def finished(
        self, index: int, stage: PreparedStage, stat: Stat, rows: Sequence[Row], budget: Mapping[str, Any]
    ) -> None:
        """As ``Watch`` says; of its rows as many are shown as a page holds."""
        kind = "stage_complete" if stat.error is None else "stage_error"
        shown = [document(row) for row in rows[: self._question.page.size]]
        more = {"documents": shown, "statistics": stat.wire(), "budget_used": dict(budget), "error": stat.error}
        self._put({**self._event(kind, stage, index), **more})

    async def begun(self, running: asyncio.Task[Answer]) -> None:
        """Wait for the first event. What is wrong with the request is raised here, before anything is sent."""
        running.add_done_callback(lambda _: self._queue.put_nowait(None))
        self._first = await self._queue.get()
        if self._first is None:
            await running
            self._queue.put_nowait(None)

    async def sent(self, running: asyncio.Task[Answer]) -> AsyncIterator[bytes]:
        """The events to send. An execution whose reader goes away is stopped."""
        try:
            event = self._first
            while event is not None:
                yield event
                event = await self._queue.get()
            yield line(await self._last(running))
        finally:
            if self._deadline is not None:
                self._deadline.stop()

    async def _last(self, running: asyncio.Task[Answer]) -> JsonObject:
        whole = {"execution_id": self._question.execution_id, "total_stages": len(self._question.retriever.stages)}
        try:
            response = (await running).response
        except Exception as error:
            # The answer has begun: the error can only be its last event.
            log.error("execution_failed", execution=self._question.execution_id, error=repr(error), exc_info=error)
            message = "Internal error; the server's log has the details"
            return {"event_type": "execution_error", **whole, "error": message}
        return {
            "event_type": "execution_complete" if response["status"] == "completed" else "execution_error",
            **response,
            **whole,
            "statistics": response["stage_statistics"],
            "budget_used": response["budget"],
        }

    def _event(self, kind: str, stage: PreparedStage, index: int) -> JsonObject:
        return {
            "event_type": kind,
            "execution_id": self._question.execution_id,
            "stage_name": stage.name,
            "stage_index": index,
            "total_stages": len(self._question.retriever.stages),
        }

    def _put(self, event: JsonObject) -> None:
        # Written here, in the thread of the stages: the next one may change the rows.
        self._loop.call_soon_threadsafe(self._queue.put_nowait, line(event))


def line(event: JsonObject) -> bytes:
    """One event as it is sent."""
    return b"data: " + orjson.dumps(event) + b"\n\n"
