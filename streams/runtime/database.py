"""The PostgreSQL protocol: a pool, migrations, and positions that move by compare-and-set."""

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

import orjson
import psycopg
from aiokafka import TopicPartition
from pgvector.psycopg import register_vector_async
from psycopg import IsolationLevel
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool

from streams.runtime.failure import PositionLostError
from streams.settings import Settings

Connection = psycopg.AsyncConnection[TupleRow]

_MIGRATION_LOCK = 7_431_001


class Database:
    """A pool of connections to the one database. ``async with Database(settings) as database``."""

    def __init__(
        self, settings: Settings, *, statement_seconds: float | None = None, all_open: bool = False
    ) -> None:
        """With ``statement_seconds`` the server gives up every statement that takes longer. With ``all_open`` all
        connections are opened at the start, and stay, so that nobody waits for one to be opened."""

        async def configure(connection: Connection) -> None:
            await _configure(connection)
            if statement_seconds is not None:
                await connection.execute(f"SET statement_timeout = {int(statement_seconds * 1000)}".encode())

        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            settings.database,
            min_size=settings.database_pool_size if all_open else 1,
            max_size=settings.database_pool_size,
            open=False,
            # A caller that cannot have a connection soon is told so; stations then back off, the API says 503.
            timeout=5.0,
            configure=configure,
            check=_check,
            kwargs={"autocommit": True},
        )

    async def __aenter__(self) -> "Database":
        await self._pool.open(wait=True, timeout=30)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit mode."""
        async with self._pool.connection() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(
        self, *, snapshot: bool = False, first: Callable[[Connection], Awaitable[object]] | None = None
    ) -> AsyncIterator[Connection]:
        """One transaction; with ``snapshot`` every statement in it sees the same state (repeatable read). What
        ``first`` asks for shares the round trip in which the transaction begins."""
        async with self._pool.connection() as connection, AsyncExitStack() as stack:
            # Part of BEGIN, where a statement of its own would be a round trip.
            await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ if snapshot else None)
            if first is None:
                await stack.enter_async_context(connection.transaction())
            else:
                async with connection.pipeline():
                    # Not connection.transaction(): begun in a pipeline, that stays in one.
                    await stack.enter_async_context(psycopg.AsyncTransaction(connection))
                    await first(connection)
            yield connection

    @asynccontextmanager
    async def pipelined(self) -> AsyncIterator[Connection]:
        """One transaction whose statements wait for each other only where an answer is read: those before the
        first answer share a round trip with BEGIN, those after the last one with COMMIT. An error of theirs is
        raised where the next answer is read, or at the end."""
        async with self._pool.connection() as connection:
            await connection.set_isolation_level(None)
            try:
                # Not connection.transaction(): begun in a pipeline, that has one of its own. What failed may be
                # noticed only after COMMIT was sent: the pool then rolls back, as after every error.
                async with connection.pipeline() as pipeline, psycopg.AsyncTransaction(connection):
                    try:
                        yield connection
                    except BaseException:
                        # After an error the server skips everything, ROLLBACK included, up to the next sync.
                        with suppress(psycopg.Error):
                            await pipeline.sync()
                        raise
            except psycopg.errors.PipelineAborted as error:
                # COMMIT is skipped too, and may say so after what failed was noticed, which is what counts.
                raise error.__context__ or error from None


async def _check(connection: Connection) -> None:
    """Nothing comes over a connection that rests but its end: only one that has something to read is asked whether
    it lives, for that is a round trip. Raises ``psycopg.OperationalError``."""
    readable = select.poll()
    readable.register(connection.pgconn.socket, select.POLLIN)
    if readable.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _configure(connection: Connection) -> None:
    # jsonb writes 1e26 as an integer that the standard library reads and orjson cannot write again.
    set_json_loads(orjson.loads, connection)
    set_json_dumps(orjson.dumps, connection)
    # The first and last days of the calendar cannot be read back in another zone.
    await connection.execute("SET TIME ZONE 'UTC'")
    # The extension exists only after the first migration.
    if await (await connection.execute("SELECT to_regtype('vector')")).fetchone() != (None,):
        await register_vector_async(connection)


async def migrate(dsn: str) -> list[str]:
    """Apply the numbered SQL files that have not been applied, each in its own transaction, one process at a
    time. Returns the names applied."""
    applied: list[str] = []
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await (await connection.execute("SELECT name FROM migrations")).fetchall()
        done = {row[0] for row in rows}
        folder = resources.files("streams.runtime") / "migrations"
        files = sorted((item for item in folder.iterdir() if item.name.endswith(".sql")), key=lambda f: f.name)
        for file in files:
            if file.name in done:
                continue
            async with connection.transaction():
                await connection.execute(file.read_text().encode())
                await connection.execute("INSERT INTO migrations (name) VALUES (%s)", (file.name,))
            applied.append(file.name)
    return applied


@dataclass(frozen=True, slots=True)
class Advance:
    """A move of one partition's position: only if it still stands at ``expected``."""

    partition: TopicPartition
    expected: int
    next_offset: int
    last_timestamp: int
    last_key: bytes | None


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """Where a station stood, and what it last read there."""

    next_offset: int
    last_timestamp: int | None
    last_key: bytes | None


async def advance_positions(connection: Connection, station: str, moves: Iterable[Advance]) -> None:
    """Move positions inside the caller's transaction.

    Raises :class:`PositionLostError` when one does not stand where it was read, that is when another worker
    has taken the partition over, and when a move does not go forward: its records were done before. The
    caller's transaction then rolls back with all its rows.
    """
    waiting = {move.partition: move for move in moves}
    for move in waiting.values():
        if move.next_offset <= move.expected:
            raise PositionLostError(
                f"{station}: {move.partition} is at {move.expected}, which a move to {move.next_offset} would undo"
            )
    # There is no row before the first batch of a partition.
    for statement in (_MOVE, _FIRST_MOVE):
        if waiting:
            cursor = await connection.execute(
                statement.encode(), (station, *columns(move_rows(waiting.values()), 6))
            )
            for topic, partition in await cursor.fetchall():
                del waiting[TopicPartition(topic, partition)]
    for move in waiting.values():
        raise PositionLostError(f"{station}: {move.partition} is no longer at {move.expected}")


def move_rows(moves: Iterable[Advance]) -> list[tuple[Any, ...]]:
    """What :data:`MOVED` takes column by column, behind the station: :data:`MOVE_TYPES`. In one order, so that two
    workers never wait for each other's rows."""
    ordered = sorted(moves, key=lambda move: move.partition)
    return [
        (*move.partition, move.expected, move.next_offset, move.last_timestamp, move.last_key) for move in ordered
    ]


MOVE_TYPES: Final = "text int4 int8 int8 int8 bytea"
_MOVES = """
moves (station, topic, partition, expected, next_offset, last_timestamp, last_key) AS (
    SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bytea[])
)"""
MOVED: Final = f"""{_MOVES}, moved AS (
    UPDATE positions p SET next_offset = m.next_offset, last_timestamp = m.last_timestamp, last_key = m.last_key,
        updated_at = now()
    FROM moves m WHERE p.station = m.station AND p.topic = m.topic AND p.partition = m.partition
        AND p.next_offset = m.expected
    RETURNING p.topic, p.partition
)"""
"""SQL, behind WITH: ``moved`` is what of the moves could be done."""
_MOVE = f"WITH {MOVED} SELECT topic, partition FROM moved"
_FIRST_MOVE = f"""WITH {_MOVES}
INSERT INTO positions (station, topic, partition, next_offset, last_timestamp, last_key)
SELECT station, topic, partition, next_offset, last_timestamp, last_key FROM moves WHERE expected = 0
ON CONFLICT DO NOTHING RETURNING topic, partition
"""


async def note_positions(
    connection: Connection, station: str, positions: Mapping[TopicPartition, StoredPosition]
) -> None:
    """Write down where a station stands, in one statement, whatever was written before: for stations whose
    position is kept elsewhere and that only want to know their log again. A crash of the database may undo it."""
    # In one order, so that two workers never wait for each other's rows.
    ordered = sorted(positions.items(), key=lambda item: (item[0].topic, item[0].partition))
    await connection.execute(
        # What stood there before is as true of the log: nobody waits for the disk.
        "WITH asynchronous AS (SELECT set_config('synchronous_commit', 'off', true))"
        " INSERT INTO positions (station, topic, partition, next_offset, last_timestamp, last_key)"
        " SELECT %s, at.* FROM asynchronous,"
        " unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bytea[]) AS at"
        " ON CONFLICT (station, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset,"
        " last_timestamp = EXCLUDED.last_timestamp, last_key = EXCLUDED.last_key, updated_at = now()",
        (
            station,
            [tp.topic for tp, _ in ordered],
            [tp.partition for tp, _ in ordered],
            [at.next_offset for _, at in ordered],
            [at.last_timestamp for _, at in ordered],
            [at.last_key for _, at in ordered],
        ),
    )


async def stored_positions(connection: Connection, station: str, topic: str) -> Mapping[int, StoredPosition]:
    """Positions of a station in a topic, by partition."""
    cursor = await connection.execute(
        "SELECT partition, next_offset, last_timestamp, last_key FROM positions WHERE station = %s AND topic = %s",
        (station, topic),
    )
    return {row[0]: StoredPosition(row[1], row[2], row[3]) for row in await cursor.fetchall()}


async def notify(connection: Connection, channel: str) -> None:
    """Wake listeners on ``channel`` when the caller's transaction commits."""
    await connection.execute("SELECT pg_notify(%s, '')", (channel,))


async def wait_for_notify(dsn: str, channel: str, wake: asyncio.Event) -> None:
    """Set ``wake`` at every notification on ``channel`` until cancelled, over a connection of its own.

    Notifications are a short cut: callers poll as well, so a lost connection only costs time.
    """
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
                await connection.execute(f"LISTEN {channel}".encode())
                wake.set()
                async for _ in connection.notifies():
                    wake.set()
        except psycopg.OperationalError:
            await asyncio.sleep(1.0)


def columns(rows: Iterable[Sequence[Any]], width: int) -> tuple[list[Any], ...]:
    """Rows as one list per column, for ``unnest``."""
    found: tuple[list[Any], ...] = tuple([] for _ in range(width))
    for row in rows:
        for column, value in zip(found, row, strict=True):
            column.append(value)
    return found


def integers(rows: Iterable[Sequence[int | None]], width: int) -> list[str]:
    """Rows of whole numbers as :func:`columns`, each array in words: of a list psycopg looks at every number by
    itself, which takes longer than most queries."""
    return [
        f"{{{','.join('NULL' if value is None else str(value) for value in column)}}}"
        for column in columns(rows, width)
    ]


async def fetch_value(connection: Connection, query: str, parameters: Any = None) -> Any:
    """The first column of the first row, ``None`` when there is no row."""
    row = await (await connection.execute(query.encode(), parameters)).fetchone()
    return None if row is None else row[0]
