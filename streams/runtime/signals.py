"""SIGTERM and SIGINT as an event, for the process that owns them."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextlib.contextmanager
def stop_event() -> Iterator[asyncio.Event]:
    """An event that a signal sets, in the running loop's main thread. A second signal finds the default
    handling again: it ends a process whose clean-up hangs."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def on_signal() -> None:
        stopping.set()
        remove()

    def remove() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stopping
    finally:
        remove()
