"""How far a computation is: told by the function in the child process, relayed by whoever runs it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Reporter = Callable[[float, str], None]
"""``(fraction, words)``: how much is done, 0 to 1, and what is being done."""

_reporter: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def report(fraction: float, words: str) -> None:
    """Tell how far the computation is. Without a listener it says nothing, so pure functions may call it."""
    if (reporter := _reporter.get()) is not None:
        reporter(min(max(fraction, 0.0), 1.0), words)


@contextmanager
def reporting(reporter: Reporter) -> Iterator[None]:
    """Send what is reported inside to ``reporter``."""
    token = _reporter.set(reporter)
    try:
        yield
    finally:
        _reporter.reset(token)
