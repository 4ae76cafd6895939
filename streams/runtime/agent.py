"""The small protocol every station answers to: a stream agent.

An agent is a named unit that runs until it is asked to stop. The registry in ``streams/app.py`` lists them in
flow order; ``tidewatch agents`` prints it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.topics import Topic
from streams.runtime.broker import Broker
from streams.runtime.clock import Clock, utc_now
from streams.runtime.database import Database
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """What a station is given: settings, the two engines underneath, and time."""

    settings: Settings
    broker: Broker
    database: Database
    clock: Clock = utc_now


class StreamAgent(Protocol):
    """A running station."""

    name: str

    async def run(self) -> None:
        """Work until :meth:`stop`. An exception out of here ends the worker loudly."""
        ...

    def stop(self) -> None:
        """Ask :meth:`run` to finish what is in hand and return."""
        ...


class CommandAgent(StreamAgent, Protocol):
    """A station that also listens to a topic of few messages, over Faust. ``receive`` only claims or applies a
    row and returns; it never raises for a bad message (an exception in a Faust agent loses messages)."""

    listens: Topic

    async def receive(self, value: bytes | None) -> None:
        """Take one message in."""
        ...


@dataclass(frozen=True, slots=True)
class Station:
    """One line of the registry."""

    name: str
    reads: tuple[str, ...]
    does: str
    writes: tuple[str, ...]
    build: Callable[[Context], StreamAgent]
    """Makes the agent; nothing is opened before its ``run``."""


def names(*topics: Topic) -> tuple[str, ...]:
    """Topic names for a registry line."""
    return tuple(topic.name for topic in topics)
