"""What is left of deleted documents in results: their ids, in reads at once and in the tables in the end."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from schemas.events.alert_result import Found, encode_alert_result
from schemas.topics import ALERT_RESULTS, RETRIEVER_EXECUTIONS
from streams.query.rebuilding import empty_view
from streams.runtime.agent import Context
from streams.runtime.erasure import KEPT, WHOLE, Erased, named_in, note_erased, sweep, sweep_erased, without_erased
from tests.query.support import (
    NAMESPACE,
    NOON,
    apply,
    client,
    define_alert,
    define_collection,
    define_namespace,
    define_retriever,
    hit,
    result,
    run_record,
    table,
)

SECRET = "Title"


async def erase(context: Context, document_id: str, *, offset: int | None, collection: str = "col_a") -> None:
    partition = None if offset is None else 0
    deletion = Erased(NAMESPACE, document_id, collection, NOON + timedelta(seconds=1), partition, offset)
    async with context.database.transaction() as connection:
        await note_erased(connection, [deletion])


async def titles(context: Context) -> dict[str, Any]:
    async with client(context) as http:
        listed = (await http.get("/v1/alerts/executions")).json()["results"]
    return {
        match["document_id"]: (match["metadata"] or {}).get("title") for one in listed for match in one["matches"]
    }


async def test_results_of_deleted_documents_are_blank_and_then_swept(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "alt_a")
    await define_collection(context, "alt_a")
    results = [encode_alert_result(result(offset, hit(alert))) for offset in range(3)]
    await apply(context, ALERT_RESULTS, *results)
    await erase(context, "doc_0", offset=9)
    # Of a version that came behind the deletion nothing is taken away.
    await erase(context, "doc_2", offset=1)
    expected = {"doc_0": None, "doc_1": "Title 1", "doc_2": "Title 2"}
    assert await titles(context) == expected
    async with context.database.transaction() as connection:
        assert await sweep_erased(connection, NOON + timedelta(seconds=30)) == 0
        assert await sweep_erased(connection, NOON + timedelta(hours=1)) == 2
        assert await sweep_erased(connection, NOON + timedelta(hours=1)) == 0
    stored = [row for row in await table(context, "result_documents") if SECRET in "".join(map(str, row))]
    assert len(stored) == 2
    assert await titles(context) == expected
    # The view that is made again from the topics shows no more.
    async with context.database.connection() as connection:
        await connection.execute("DELETE FROM result_documents")
        await connection.execute("DELETE FROM alert_executions")
    await apply(context, ALERT_RESULTS, *results)
    assert await titles(context) == expected
    await erase(context, WHOLE, offset=None)
    assert set((await titles(context)).values()) == {None}


async def test_what_look_ups_and_runs_found_goes_as_well(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "alt_a")
    await define_collection(context, "alt_a")
    matches = [
        {"document_id": name, "score": 0.5, "metadata": {"title": f"Title {name}"}} for name in ("p1", "p2")
    ]
    found = replace(hit(alert), found=Found(2, matches, {"0": 4}))
    await apply(context, ALERT_RESULTS, encode_alert_result(result(1, found)))
    documents = [
        {"document_id": name, "collection_id": "col_a", "score": 0.5, "payload": {"title": f"Title {name}"}}
        for name in ("p1", "p2")
    ]
    run = run_record(documents)
    await apply(context, RETRIEVER_EXECUTIONS, run.encode())
    await erase(context, "p1", offset=7)

    async def shown() -> list[dict[str, Any]]:
        async with client(context) as http:
            answer = await http.get("/v1/retrievers/ret_a/executions/exec_run")
        assert answer.status_code == 200, answer.text
        return [dict(one) for one in answer.json()["documents"]]

    for _ in range(2):
        assert await titles(context) == {"p1": None, "p2": "Title p2"}
        assert ["Title" in str(one) for one in await shown()] == [False, True]
        async with context.database.transaction() as connection:
            await sweep_erased(connection, NOON + timedelta(hours=1))
    for name in ("alert_executions", "retriever_executions"):
        text = str(await table(context, name))
        assert "Title p1" not in text
        assert "Title p2" in text


async def test_of_equal_ids_only_the_one_in_the_collection_that_lost_it_goes(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "alt_a")
    await define_collection(context, "alt_a")
    matches = [
        {"document_id": name, "collection_id": collection, "score": 0.5, "metadata": {"title": title}}
        for collection, name, title in (
            ("col_x", "p", "Title x"),
            ("col_y", "p", "Title y"),
            ("col_z", "p", "Title z"),
            ("col_z", "q", "Other z"),
        )
    ]
    found = replace(hit(alert), found=Found(4, matches, {"0": 4}))
    await apply(context, ALERT_RESULTS, encode_alert_result(result(1, found)))
    # A document of one collection, and all of another.
    await erase(context, "p", offset=7, collection="col_x")
    await erase(context, WHOLE, offset=None, collection="col_z")

    async def shown() -> list[tuple[str, str, Any]]:
        async with client(context) as http:
            (one,) = (await http.get("/v1/alerts/executions")).json()["results"]
        return [
            (match["collection_id"], match["document_id"], (match["metadata"] or {}).get("title"))
            for match in one["matches"]
        ]

    expected = [("col_x", "p", None), ("col_y", "p", "Title y"), ("col_z", "p", None), ("col_z", "q", None)]
    assert await shown() == expected
    await sweep(context.database, NOON + timedelta(hours=1))
    assert await shown() == expected
    text = str(await table(context, "alert_executions"))
    assert [title in text for title in ("Title x", "Title y", "Title z", "Other z")] == [False, True, False, False]


async def test_what_was_written_again_after_its_deletion_is_kept(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    run = run_record([{"document_id": name, "collection_id": "col_a", "x": name * 9} for name in "pq"])
    await apply(context, RETRIEVER_EXECUTIONS, run.encode())
    async with context.database.transaction() as connection:
        # p was deleted and is there again when the retriever runs; q is deleted after it.
        before, after = NOON - timedelta(seconds=5), NOON + timedelta(seconds=5)
        deletions = [Erased(NAMESPACE, "p", "col_a", before, 0, 1), Erased(NAMESPACE, "q", "col_a", after, 0, 9)]
        await note_erased(connection, deletions)
        assert await sweep_erased(connection, NOON + timedelta(hours=1)) == 2
    text = str(await table(context, "retriever_executions"))
    assert "ppppppppp" in text
    assert "qqqqqqqqq" not in text


async def test_results_that_come_after_the_sweep_are_swept_before_their_deletion_is_forgotten(
    context: Context,
) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "alt_a")
    await define_collection(context, "alt_a")
    records = [encode_alert_result(result(offset, hit(alert))) for offset in range(2)]
    await erase(context, "doc_0", offset=9)
    async with context.database.transaction() as connection:
        assert await sweep_erased(connection, NOON + timedelta(hours=1)) == 1
    await apply(context, ALERT_RESULTS, *records)
    expected = {"doc_0": None, "doc_1": "Title 1"}
    assert await titles(context) == expected
    async with context.database.transaction() as connection:
        await sweep_erased(connection, NOON + KEPT + timedelta(days=1))
    assert await table(context, "erased_documents") == []
    assert await titles(context) == expected


async def test_a_view_made_again_is_swept_again(context: Context) -> None:
    await erase(context, "doc_0", offset=9)
    for _ in range(2):
        async with context.database.transaction() as connection:
            assert await sweep_erased(connection, NOON + timedelta(hours=1)) == 1
        await empty_view(context.database)


async def test_nothing_of_a_deleted_collection_is_shown_whenever_it_comes(context: Context) -> None:
    await define_namespace(context)
    await define_retriever(context)
    alert = await define_alert(context, "alt_a")
    await define_collection(context, "alt_a")
    await erase(context, WHOLE, offset=None)
    # On its way when the collection was deleted.
    late = result(5, hit(alert), at=NOON + timedelta(minutes=1))
    await apply(context, ALERT_RESULTS, encode_alert_result(late))
    assert await titles(context) == {"doc_5": None}
    async with context.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO documents (namespace_id, collection_id, document_id, occurred_at, created_at,"
            " appended_at, partition, record_offset) VALUES (%s, 'col_a', 'doc_5', now(), now(), now(), 0, 5)",
            (NAMESPACE,),
        )
    await sweep(context.database, NOON + timedelta(hours=1))
    assert SECRET not in str(await table(context, "result_documents"))
    assert await table(context, "documents") == []


def test_only_what_is_named_is_taken_out() -> None:
    value: dict[str, Any] = {
        "documents": [
            {"document_id": "a", "collection_id": "c", "score": 1.0, "x": {"document_id": "b", "y": 1}},
            {"document_id": "a", "collection_id": "other", "y": 2},
            {"document_id": "b", "y": 3},
        ],
        "n": [1, None, "a"],
    }
    assert named_in(value) == {"a", "b"}
    assert without_erased(value, {}) == value
    assert without_erased(value, {"a": {"c"}}) == {
        "documents": [{"document_id": "a", "collection_id": "c", "score": 1.0}, *value["documents"][1:]],
        "n": [1, None, "a"],
    }
    gone = without_erased(value, {WHOLE: {"other"}, "b": {"c"}})
    assert gone["documents"] == [
        {"document_id": "a", "collection_id": "c", "score": 1.0, "x": {"document_id": "b"}},
        {"document_id": "a", "collection_id": "other"},
        {"document_id": "b"},
    ]
