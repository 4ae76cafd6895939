"""Query vectors against declared indexes (contract 4.4)."""

from collections.abc import Mapping
from typing import Any

import pytest

from streams.engines.retrieval.execution.sizes import SizeError, check_sizes, query_sizes

URI = "mixpeek://clip@v1/image"
DECLARED = {"three": {URI: 3}, "four": {URI: 4}, "other": {"mixpeek://clip@v1/text": 9}}
VECTOR = {"input_mode": "vector", "value": [1.0, 2.0, 3.0]}


def retriever(*searches: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    config = {"stage_id": "feature_search", "parameters": {"searches": list(searches)}}
    return {"stages": [{"stage_name": "s", "config": config}], **fields}


def search(query: Any, uri: str = URI, **more: Any) -> dict[str, Any]:
    return {"feature_uri": uri, "query": query, **more}


@pytest.mark.parametrize(
    ("query", "sizes"),
    [
        (VECTOR, {"value": 3}),
        ({"value": [1, 2]}, {"value": 2}),
        ([1, 2], {"": 2}),
        ([[1, 2], [3]], {"0": 2, "1": 1}),
        ({"input_mode": "vector", "value": "{{INPUT.v}}"}, {"value": 4}),
        ("{{INPUT.v}}", {"": 4}),
        ("{{INPUT.missing}}", {}),
        ({"input_mode": "text", "value": "words"}, {}),
        ({"input_mode": "document", "document_ref": {"document_id": "d"}}, {}),
        ("words", {}),
        ([], {}),
        (None, {}),
        (7, {}),
    ],
)
def test_how_long_queries_are_and_where(query: Any, sizes: dict[str, int]) -> None:
    found = list(query_sizes(retriever(search("words"), search(query)), {"v": [1, 2, 3, 4]}))
    above = "stages.0.config.parameters.searches.1.query."
    assert {
        f"{'.'.join(map(str, one.path))}.".removeprefix(above).rstrip("."): one.dimensions for one in found
    } == sizes


def test_other_forms() -> None:
    guide = {
        "stage_id": "feature_search",
        "parameters": {"feature_uris": [{"uri": URI, "input": {"vector": [1]}}]},
    }
    (found,) = query_sizes({"stages": [guide]})
    assert found.path == ("stages", 0, "parameters", "feature_uris", 0, "input", "vector")
    inner = retriever(search(VECTOR), collection_identifiers=["three"])
    join = {"stage_id": "document_enrich", "parameters": {"retriever_config": inner}}
    (found,) = query_sizes({"stages": [{"config": join}], "collection_identifiers": ["four"]})
    assert found.path[:5] == ("stages", 0, "config", "parameters", "retriever_config")
    assert found.collections == ("three",)
    assert list(query_sizes(retriever(search("words", lexical=True)))) == []
    assert list(query_sizes({"stages": [3, {}, {"config": {"stage_id": "feature_search"}}]})) == []


@pytest.mark.parametrize(
    ("collections", "refused"),
    [
        (["three"], False),
        (["four"], True),
        (["three", "four"], True),
        (["other"], False),
        (["undeclared"], False),
        # Over everything a query is wrong where it fits nothing.
        ([], False),
    ],
)
def test_a_query_fits_every_collection_it_names(collections: list[str], refused: bool) -> None:
    for asked in (
        retriever(search(VECTOR), collection_identifiers=collections),
        retriever(search(VECTOR, collection_identifiers=collections), collection_identifiers=["undeclared"]),
    ):
        if not refused:
            check_sizes(query_sizes(asked), DECLARED)
            continue
        with pytest.raises(SizeError) as caught:
            check_sizes(query_sizes(asked), DECLARED)
        assert caught.value.path == ("stages", 0, "config", "parameters", "searches", 0, "query", "value")
        place = "stages[0].config.parameters.searches[0].query.value"
        words = f"vectors of {URI} have 4 dimensions in the collection four, not 3"
        assert str(caught.value) == f"{place}: {words}"


def test_over_everything_and_by_short_names() -> None:
    with pytest.raises(SizeError, match="not 2"):
        check_sizes(query_sizes(retriever(search([1, 2]))), DECLARED)
    with pytest.raises(SizeError, match="not 2"):
        check_sizes(query_sizes(retriever(search([1, 2], "image"))), DECLARED)
    check_sizes(query_sizes(retriever(search([1, 2], "mixpeek://clip@v2/image"))), DECLARED)
