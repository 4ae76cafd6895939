"""The one interface of every action: read, compute, write."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from streams.act.lease import Job
from streams.act.outcome import Outcome
from streams.runtime.database import Connection


@dataclass(frozen=True, slots=True)
class Prepared:
    """What an action read: ``payload`` goes to the child process, ``kept`` waits here for :attr:`Action.apply`."""

    payload: Any
    kept: Any


@dataclass(frozen=True, slots=True)
class Action:
    """One kind of work."""

    prepare: Callable[[Connection, Job], Awaitable[Prepared]]
    """Reads the inputs in one snapshot of the database. Raises ``ActionError`` for what cannot work."""
    run: Callable[[Any], Any]
    """A function of a module's own, pure: from payload to result, in a process without connections."""
    apply: Callable[[Connection, Job, Any, Any, datetime], Awaitable[Outcome]]
    """``(connection, job, kept, result, now)``: writes the result's rows in the transaction of the outcome."""
