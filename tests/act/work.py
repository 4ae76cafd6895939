"""Functions for child processes: found there by module and name."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streams.act.failures import ActionError
from streams.act.progress import report


def double(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Twice an array, in place: what arrives is the child's own."""
    values *= 2
    return values


def pid(_: object) -> int:
    """Which process runs this."""
    return os.getpid()


def chatter(_: object) -> str:
    """Print, as libraries do, before answering."""
    sys.stdout.write("noise" * 1_000)
    sys.stdout.flush()
    os.write(1, b"more noise")
    return "answer"


def environment(name: str) -> str | None:
    """A variable of the child."""
    return os.environ.get(name)


def die(number: int) -> None:
    """End without an answer."""
    os.kill(os.getpid(), number)
    signal.pause()


def leave(status: int) -> None:
    """End with a status."""
    os._exit(status)


def hang(marker: str) -> None:
    """Say who is computing, then compute for ever."""
    path = Path(marker)
    path.with_suffix(".new").write_text(str(os.getpid()))
    path.with_suffix(".new").rename(path)
    while True:
        time.sleep(0.01)


def refuse(words: str) -> None:
    """What an action cannot do."""
    raise ActionError(words)


def value_error(words: str) -> None:
    """What a library refuses."""
    raise ValueError(words)


def bug(_: object) -> None:
    """What nobody expected."""
    raise KeyError("missing")


def halfway(marker: str) -> None:
    """Tell how far it is, then compute for ever."""
    report(0.5, "fitting")
    hang(marker)


def square(number: int) -> int:
    """A small computation."""
    return number * number
