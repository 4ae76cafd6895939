"""What every command's process has in common: settings from the environment, logs, errors a reader can act on."""

import asyncio
import ctypes
import gc
import signal
import sys
from collections.abc import Coroutine
from typing import Any, Final, NoReturn

import psycopg
import typer
from aiokafka.errors import KafkaError
from psycopg_pool import PoolTimeout
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from streams.runtime.children import ChildFailedError
from streams.runtime.failure import LogMismatchError
from streams.runtime.logs import configure_logging
from streams.settings import Settings

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""Of ``mallopt(3)``."""
_LARGE_BYTES: Final = 32 * 1024 * 1024
"""glibc's own most for what is taken from its heap; so much more at its top it gives back."""
EXIT_DEADLINE_SECONDS = 10
"""After a command's work is over, the kernel ends a process that does not."""


class CommandError(RuntimeError):
    """A command cannot go on; the message is all its user needs."""


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong on standard error and exit."""
    Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(message)}", highlight=False)
    raise typer.Exit(code)


def load_settings(**given: Any) -> Settings:
    """Settings from the environment, with options of the command on top. Exits with the variables at fault."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = (f"TIDEWATCH_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        fail("settings are wrong: " + "; ".join(problems), 2)


def settle_in() -> None:
    """For processes that run long: what is loaded now stays, and records live for one batch, so looking for
    garbage after every few hundred of them costs more than it finds.

    A full collection walks everything that lives: with 100,000 alerts in match that is 0.9 s in which nothing
    else runs. So high a last threshold keeps it from happening; the others cost 0.4 s of the 7 s in which
    the 100,000 are compiled, and nothing measurable after. Freezing the alerts as well would gain nothing, and
    those that go would never be freed if they were in a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1_000)
    # A thread whose product of matrices is done waits for the interpreter so long, several times a chunk.
    sys.setswitchinterval(0.001)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Do not give the memory of one batch back to the kernel only to ask for it again, page by page, with the
    next: with glibc that is half a page fault a document. Elsewhere nothing is done."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_M_TRIM_THRESHOLD, 2 * _LARGE_BYTES)


def run(main: Coroutine[Any, Any, int | None], settings: Settings) -> None:
    """Run a command to its end and exit with what it returns; failures of the world become one line."""
    configure_logging(settings.log_format, settings.log_level)
    try:
        code = asyncio.run(main)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except (CommandError, ChildFailedError, LogMismatchError) as error:
        fail(str(error))
    except (psycopg.OperationalError, PoolTimeout) as error:
        fail(f"the database at TIDEWATCH_DATABASE does not answer: {error}")
    except KafkaError as error:
        fail(f"the broker at TIDEWATCH_KAFKA={settings.kafka} failed: {error!r}")
    except OSError as error:
        fail(str(error))
    finally:
        # A thread that hangs would keep the process for ever. Children do not inherit an alarm.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(EXIT_DEADLINE_SECONDS)
    if code:
        raise typer.Exit(code)
