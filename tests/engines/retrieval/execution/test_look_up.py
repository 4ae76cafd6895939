"""Look-up alerts: what they read, and the inputs a document gives (contract 4.3)."""

from typing import Any

import numpy as np
import pytest

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.look_up import prepare_look_up, takes_from_document
from tests.engines.retrieval.stages.running import NOW, Defined, stage

URI = "mixpeek://clip@v1/image"
EVENT = DocumentEvent(
    UPSERTED,
    "ns",
    "news",
    "d",
    NOW,
    payload={
        "metadata": {"category": "x", "tags": ["p", "q"]},
        "items": [{"n": 1}, {"n": 2}],
        "dotted.key": 5,
        "document_blobs": [{"property": "photo", "url": "https://a/photo.png"}],
        "embedding": "not the vector",
    },
    text="flu",
    features={URI: np.array([0.5, 1.0], dtype=np.float32), "embedding": np.array([2.0], dtype=np.float32)},
)


def mapping(path: str | None, source_type: str = "document_field", **more: Any) -> dict[str, Any]:
    return {"input_mappings": [{"input_key": "x", "source": {"source_type": source_type, "path": path, **more}}]}


RETRIEVER = {"collection_identifiers": ["people"], "stages": [stage("limit")]}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("image", [0.5, 1.0]),
        ("clip_v1_image", [0.5, 1.0]),
        (URI, [0.5, 1.0]),
        ("features.image", [0.5, 1.0]),
        ("vectors.clip_v1_image", [0.5, 1.0]),
        (f"features.{URI}", [0.5, 1.0]),
        ("embedding", [2.0]),
        ("metadata.category", "x"),
        ("$.metadata.category", "x"),
        ("$['metadata']['category']", "x"),
        ("metadata.tags", ["p", "q"]),
        ("metadata.tags[1]", "q"),
        ("items[0].n", 1),
        ("items.n", 1),
        ("items[*].n", [1, 2]),
        ("dotted.key", 5),
        ("text", "flu"),
        ("document_id", "d"),
        ("nowhere", None),
        ("items[9].n", None),
        ("nowhere[*].n", None),
        ("a." * 50 + "b", None),
    ],
)
def test_paths_into_a_document(path: str, expected: Any) -> None:
    look_up = prepare_look_up(RETRIEVER, {"inputs": {"x": 0, "y": 1}}, mapping(path))
    assert look_up.inputs_for(EVENT) == {"x": expected, "y": 1}


def test_blobs_and_constants() -> None:
    assert prepare_look_up(RETRIEVER, {}, mapping("photo", "source_blob")).inputs_for(EVENT) == {
        "x": "https://a/photo.png"
    }
    assert prepare_look_up(RETRIEVER, {}, mapping("none", "source_blob")).inputs_for(EVENT) == {"x": None}
    constant = prepare_look_up(RETRIEVER, {"inputs": {"x": 1}}, mapping(None, "constant", value=2))
    assert constant.inputs_for(EVENT) == {"x": 2}
    assert not takes_from_document(mapping(None, "constant", value=2))
    assert takes_from_document(mapping("photo", "source_blob"))


def test_the_collections_it_reads() -> None:
    search = {"feature_uri": "image", "query": "{{INPUT.x}}"}
    retriever = {
        "collection_identifiers": ["people"],
        "stages": [
            stage(
                "feature_search", {"searches": [{**search, "query": [1.0], "collection_identifiers": ["brands"]}]}
            ),
            stage("document_enrich", {"target_collection_id": "models"}),
        ],
    }
    found = prepare_look_up(retriever, {}, mapping("a"), Defined())
    assert found.reference_collections == {"people", "brands", "models"}
    waiting = {
        **retriever,
        "stages": [stage("feature_search", {"searches": [search], "collection_identifiers": ["brands"]})],
    }
    assert prepare_look_up(waiting, {}, mapping("a"), Defined()).reference_collections == {"people", "brands"}


@pytest.mark.parametrize(
    ("retriever", "alert", "application", "says"),
    [
        ({"stages": [stage("limit")]}, {}, mapping("a"), "reference collections"),
        (RETRIEVER, {"source": "system"}, mapping("a"), "system"),
        (RETRIEVER, {}, mapping(None), "a path"),
        (RETRIEVER, {}, mapping("a", "guess"), "source_type"),
        ({**RETRIEVER, "stages": [stage("rerank")]}, {}, mapping("a"), "hosted model"),
    ],
)
def test_refusals(retriever: Any, alert: Any, application: Any, says: str) -> None:
    with pytest.raises(PlanError) as caught:
        prepare_look_up(retriever, alert, application)
    assert says in str(caught.value)
