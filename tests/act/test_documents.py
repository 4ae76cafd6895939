"""Reading documents for an action over a real database."""

from streams.act.actions.documents import Selection, names, read, read_after
from streams.act.runs import missing
from streams.runtime.agent import Context
from tests.act.support import NAMESPACE

FEATURE = "mixpeek://test@v1/v"
COUNT = 20_000


async def test_what_was_stored_a_moment_ago_is_read_in_a_moment(context: Context) -> None:
    """The planner has no statistics of tables that were just filled; a join of what it takes for two short lists
    is as slow as their product is long, minutes instead of a tenth of a second."""
    selection = Selection(NAMESPACE, ["col_a"], None, features=[FEATURE])
    async with context.database.transaction() as connection:
        await connection.execute("ALTER TABLE documents SET (autovacuum_enabled = false)")
        await connection.execute("ALTER TABLE document_vectors SET (autovacuum_enabled = false)")
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, text, occurred_at, appended_at,"
            " partition, record_offset, created_at) SELECT %s, 'col_a', 'd' || lpad(n::text, 6, '0'), 'words',"
            " now(), now(), 0, n, now() FROM generate_series(1, %s) AS n",
            (NAMESPACE, COUNT),
        )
        await connection.execute(
            "INSERT INTO document_vectors (namespace_id, collection_id, feature_uri, document_id, embedding)"
            " SELECT namespace_id, collection_id, %s, document_id, '[1,0]' FROM documents WHERE namespace_id = %s",
            (FEATURE, NAMESPACE),
        )
    async with context.database.transaction() as connection:
        await connection.execute("SET LOCAL statement_timeout = '5s'")
        found = [name async for name in names(connection, selection)]
        wanted = found[::-5]
        some = await read(connection, selection, wanted)
        rest, last = await read_after(connection, selection, ("col_a", "d010000"), COUNT)
        assert await missing(connection, "run_none", rest.names) == list(range(COUNT // 2))
    assert len(found) == COUNT
    assert some.names == wanted
    assert some.vectors[0].tolist() == [[1.0, 0.0]] * len(wanted)
    assert len(rest.names) == COUNT // 2
    assert last == ("col_a", f"d{COUNT:06}")
