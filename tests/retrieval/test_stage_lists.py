"""Any list of stages over stored documents gives what it gives over the same documents in memory, with scores."""

import random
import time
from typing import Any, Final

from streams.engines.retrieval.execution.detail import document
from streams.engines.retrieval.execution.execute import Execution, execute
from streams.engines.retrieval.execution.prepare import prepare
from streams.retrieval.running import Asked, run_stored
from streams.runtime.agent import Context
from streams.runtime.definitions import put_definition
from streams.runtime.named import named_definitions
from tests.engines.retrieval.stages.running import stage
from tests.engines.retrieval.stages.test_conformance import CASES, parameters
from tests.retrieval.storing import AT, NS, in_memory, people, store, varied

FILTERS: Final[tuple[Any, ...]] = (
    {"a": "FLU"},
    {"a": {"gte": 0}},
    {"metadata.a": {"in": [0, 1, "flu", None]}},
    {"NOT": [{"tags": "flu"}]},
    {"OR": [{"content": {"words": "cities"}}, {"tags": {"exists": False}}]},
    {"content": {"text": "U C"}},
    {"a": {"gt": "2024-01-01"}},
    {"a": {"regex": "^f"}},
    {"document_id": {"starts_with": "d1"}},
)
# Clusterings take most of the time and ask the documents nothing that others do not.
STAGES: Final = [(name, more) for name, more in CASES if name not in ("cluster", "taxonomy_enrich")]
SEARCHES: Final[tuple[dict[str, Any], ...]] = (
    {"feature_uri": "words", "query": {"input_mode": "vector", "value": [0.6, 0.8]}},
    {"feature_uri": "words", "query": {"input_mode": "vector", "value": [[1, 0], [0, -1]]}, "min_score": 0.1},
    {"feature_uri": "words", "query": {"input_mode": "document", "document_ref": {"document_id": "d3"}}},
    {"feature_uri": "words", "query": "flu city", "lexical": True},
    {"feature_uri": "mixpeek://hashing@v1/words", "query": "flu in the city", "top_k": 7},
)


def retriever(rng: random.Random) -> dict[str, Any]:
    """One to four stages, the first nearly always one that finds documents."""
    stages = []
    for at in range(rng.randint(1, 4)):
        name, more = rng.choice(STAGES)
        if at == 0 and rng.random() < 0.7:
            searches = rng.sample(SEARCHES, rng.randint(1, 3))
            name, more = "feature_search", {"searches": searches, "fusion": rng.choice(("rrf", "max", "weighted"))}
        made = {**stage(name, parameters(name, more)), "stage_name": f"s{at}"}
        for place in ("pre_filters", "post_filters"):
            if rng.random() < 0.3:
                made["config"] = {**made.get("config", made), place: rng.choice(FILTERS)}
        made["on_error"] = rng.choice(("error", "skip"))
        stages.append(made)
    named = rng.choice((None, ["news"], ["other", "news"], ["people", "nowhere"]))
    return {"stages": stages, **({} if named is None else {"collection_identifiers": named})}


def told(execution: Execution) -> Any:
    """What an execution says, but for time."""
    return (
        execution.error,
        [document(row, vectors=True) for row in execution.rows],
        {name: (stat.input_count, stat.output_count, stat.error) for name, stat in execution.stages.items()},
        execution.budget["credits_used"],
        execution.notes,
    )


async def test_stored_documents_give_what_documents_in_memory_give(context: Context) -> None:
    rng = random.Random(21)
    await store(context.database, [*people(NS, "people"), *varied(rng, 90, NS, ("news", "other"))])
    async with context.database.transaction() as connection:
        for name in ("news", "other", "people"):
            await put_definition(connection, "collection", NS, name, name, {"collection_name": name})
    completed = 0
    async with context.database.transaction(snapshot=True) as connection:
        memory = await in_memory(connection)
        for number in range(100):
            body = retriever(rng)
            filters = rng.choice((None, None, *FILTERS))
            asked = Asked(NS, prepare(body), body, {}, filters)
            ours, corpus = await run_stored(connection, asked, now=AT, seed=str(number))
            expected = await execute(
                body,
                {},
                memory,
                now=AT,
                clock=time.monotonic,
                filters=filters,
                definitions=await named_definitions(connection, NS, body["stages"]),
                seed=str(number),
            )
            assert told(ours) == told(expected), body
            assert corpus.limits == []
            completed += ours.error is None and bool(ours.rows)
    assert completed > 30
