"""A transaction's token, from the outbox to where the relay put its records."""

from schemas.topics import DEFINITIONS, DOCUMENTS, TRIGGER_RESULTS
from schemas.write_token import parse_min_position
from streams.runtime.database import Connection, Database
from streams.runtime.outbox import Outgoing, enqueue, enqueue_all
from streams.runtime.write_tokens import (
    Place,
    current_token,
    forget_published,
    move_to_published,
    published_places,
)
from streams.settings import Settings


async def transactions(connection: Connection) -> tuple[int, ...]:
    return parse_min_position(await current_token(connection)).transactions


async def waiting(connection: Connection) -> list[int]:
    return [row[0] for row in await (await connection.execute("SELECT id FROM outbox ORDER BY id")).fetchall()]


async def test_a_write_is_published_when_all_its_records_are(settings: Settings) -> None:
    async with Database(settings) as database:
        async with database.transaction() as connection:
            await enqueue_all(connection, DOCUMENTS, [Outgoing(b"a", b"1"), Outgoing(b"b", b"2")])
            async with connection.transaction():
                await enqueue(connection, TRIGGER_RESULTS, b"t", b"3")
            own = await transactions(connection)
        async with database.transaction() as connection:
            await enqueue(connection, DOCUMENTS, b"c", b"4")
            other = await transactions(connection)
        assert own != other
        async with database.connection() as connection:
            ids = await waiting(connection)
            assert await published_places(connection, own) is None
            places = [Place("documents", 1, 8), Place("documents", 1, 5), Place("trigger-results", 0, 2)]
            await move_to_published(connection, ids[:2], places[:2])
            assert await published_places(connection, own) is None
            await move_to_published(connection, ids[2:3], places[2:])
            assert await published_places(connection, own) == [places[0], places[2]] or await published_places(
                connection, own
            ) == [places[2], places[0]]
            assert await published_places(connection, [*own, *other]) is None
            assert await waiting(connection) == ids[3:]
            # Published again after a crash: the later place counts. Nothing is noted of what nobody waits for.
            await move_to_published(connection, ids[3:], [None])
            assert await published_places(connection, other) == []


async def test_definitions_hold_no_reader_up_and_old_places_are_forgotten(settings: Settings) -> None:
    async with Database(settings) as database:
        async with database.transaction() as connection:
            await enqueue(connection, DEFINITIONS, b"d", b"1")
            await enqueue(connection, DOCUMENTS, b"a", b"1")
            own = await transactions(connection)
        async with database.connection() as connection:
            first, second = await waiting(connection)
            await move_to_published(connection, [second], [Place("documents", 0, 1)])
            assert await published_places(connection, own) == [Place("documents", 0, 1)]
            await forget_published(connection)
            assert await published_places(connection, own) == [Place("documents", 0, 1)]
            await connection.execute("UPDATE published SET published_at = now() - interval '61 minutes'")
            await forget_published(connection)
            assert await published_places(connection, own) == []
            assert await waiting(connection) == [first]
