"""The one interface of every action: a coroutine over its :class:`~streams.act.work.Work`.

An action reads, computes and writes, and only in these ways::

    async def run(work: Work) -> Finish:
        async with work.read() as connection:                  # one snapshot (repeatable read)
            things = await find(connection, work.job.command.action_config)
        found = await work.compute(pure_function, things)      # in a child process: CPU work goes there

        async def finish(connection: Connection, now: datetime) -> Outcome:
            await store(connection, found, now)                # the writes, with the outcome or not at all
            return Outcome(num_documents=len(things), facts={"made": found.count})

        return finish

``finish`` runs in the one transaction that ends the job (job row, trigger, baseline, result record), under the
lease's ``claim_epoch``: it is applied once, however often the action itself was run. It may be retried, so it
changes nothing but the database.

An action that writes too much for one transaction does it in *steps*, each of which commits its writes together
with a checkpoint, under the same guard. It starts from the checkpoint, so another worker goes on where the last
committed step ended, and a step is never applied twice::

    done = work.checkpoint or {"after": None, "written": 0}
    while batch := await read_batch(work, done["after"]):      # bounded: never the whole collection
        rows = await work.compute(enrich, batch)
        done = {"after": batch[-1].document_id, "written": done["written"] + len(rows)}
        async with work.step(done, done["written"] / total, f"{done['written']:,} of {total:,} documents") as c:
            await write(c, rows)
    return finished(Outcome(num_documents=done["written"], facts=done))

Rules:

* Everything an action writes derives its ids from ``work.job.job_id``; documents go through the outbox with the
  job's chain of causes.
* Nothing outside the database is done before a commit says so (no HTTP, no Kafka: use the outbox).
* ``ActionError`` says in words why the job fails; other attempts would fail too. An action that did its work and
  still counts as failed (a breached acceptance) returns ``Outcome(error=...)``: its writes and facts are kept.
* ``work.report`` tells how far it is; child functions call :func:`streams.act.progress.report`.
* The time limit runs from the claim or the last committed step. Cancelled, out of time, or overtaken, the
  coroutine gets ``CancelledError`` and its child is killed: use ``async with`` and keep no state of its own.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from streams.act.outcome import Outcome
from streams.act.work import Work
from streams.runtime.database import Connection

Finish = Callable[[Connection, datetime], Awaitable[Outcome]]
"""``(connection, now)``: writes the result's rows in the transaction of the outcome and tells what was done."""

Action = Callable[[Work], Awaitable[Finish]]
"""One kind of work; registered in :data:`streams.act.actions.ACTIONS` by its ``action_type``."""


def finished(outcome: Outcome) -> Finish:
    """The end of an action that has nothing more to write."""

    async def finish(_: Connection, __: datetime) -> Outcome:
        return outcome

    return finish
