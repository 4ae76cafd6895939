"""Documents given the fields of a taxonomy, to be kept."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.document import UPSERTED, DocumentEvent
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.materialize import Enriched, materialize, read_taxonomy
from streams.engines.retrieval.execution.memory import MemoryCorpus

AT = datetime(2026, 1, 1, tzinfo=UTC)
MAPPINGS = [{"input_key": "code", "source_type": "payload", "path": "code"}]
LABELS: list[dict[str, Any]] = [
    {"code": "A", "label": "first", "tag": "x"},
    {"code": "A", "label": "second", "tag": ["y", "x"]},
]


class Definitions:
    """One taxonomy, matched by equal codes."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    def retriever(self, identifier: str) -> Mapping[str, Any] | None:
        """Documents with the code that is asked for."""
        condition = {"field": "code", "operator": "eq", "value": "{{INPUT.code}}"}
        config = {"stage_id": "attribute_filter", "parameters": {"conditions": condition}}
        return {"stages": [{"stage_name": "code", "config": config}]} if identifier == "by code" else None

    def taxonomy(self, identifier: str) -> Mapping[str, Any] | None:
        """The one."""
        return {"config": self._config} if identifier == "tax" else None

    def collection_id(self, identifier: str) -> str | None:
        """Every identifier is an id."""
        return identifier


def flat(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    source = {"collection_id": "codes", **({"enrichment_fields": list(fields)} if fields else {})}
    return {"retriever_id": "by code", "input_mappings": MAPPINGS, "source_collection": source, **more}


def event(name: str, payload: Any, collection: str = "news", **more: Any) -> DocumentEvent:
    return DocumentEvent(UPSERTED, "ns", collection, name, AT, payload, **more)


def enriched(
    config: dict[str, Any], *events: DocumentEvent, codes: Sequence[dict[str, Any]] = LABELS
) -> list[Enriched]:
    definitions, corpus = Definitions(config), MemoryCorpus()
    for at, payload in enumerate(codes):
        corpus.apply(event(f"c{at}", payload, "codes"))
    taxonomy = read_taxonomy("tax", definitions)
    return asyncio.run(materialize(taxonomy, events, corpus, definitions, now=AT, clock=time.monotonic))


def given_to(config: dict[str, Any], payload: Any, **more: Any) -> Any:
    (one,) = enriched(config, event("d", payload, **more))
    assert one.event is not None
    return one.event.payload


LABEL = {"field_path": "label", "target_field": "topic"}
TAG = {"field_path": "tag", "target_field": "tags", "merge_mode": "append"}


def test_the_best_replaces_and_all_append_what_is_not_there() -> None:
    assert given_to(flat(LABEL, TAG), {"code": "A", "tags": ["z"]}) == {
        "code": "A",
        "tags": ["z", "x"],
        "topic": "first",
    }
    assert given_to(flat(LABEL, TAG, top_k=2), {"code": "A"}) == {
        "code": "A",
        "tags": ["x", "y"],
        "topic": "first",
    }


def test_what_changed_is_named_and_what_did_not_is_left() -> None:
    done, new, other = enriched(
        flat(LABEL),
        event("done", {"code": "A", "topic": "first"}),
        event("new", {"code": "A", "n": 1}),
        event("other", {"code": "B"}),
    )
    assert (done.event, done.matched, done.changed) == (None, True, ())
    assert (new.matched, new.changed) == (True, ("topic",))
    assert (other.event, other.matched) == (None, False)


@given(
    st.dictionaries(st.sampled_from(("code", "topic", "tags", "n")), st.sampled_from(("A", "x", 1, ["x"], None))),
    st.integers(1, 3),
)
def test_a_second_time_changes_nothing(payload: dict[str, Any], top_k: int) -> None:
    config = flat(LABEL, TAG, top_k=top_k)
    (first,) = enriched(config, event("d", payload))
    if first.event is not None:
        (second,) = enriched(config, first.event)
        assert second.event is None


def test_without_fields_the_assignment_itself() -> None:
    found = given_to(flat(), {"code": "A"})["taxonomy"]
    assert (found["taxonomy_id"], found["document_id"], found["path"]) == ("tax", "c0", ["codes"])
    assert [one["document_id"] for one in given_to(flat(top_k=2), {"code": "A"})["taxonomy"]] == ["c0", "c1"]


def test_a_document_does_not_match_itself() -> None:
    own = event("c0", LABELS[0], "codes")
    (one,) = enriched(flat(LABEL), own)
    assert one.event is not None
    assert one.event.payload["topic"] == "second"


def test_the_event_s_own_text_is_written_where_it_stands() -> None:
    rewritten = flat({"field_path": "label", "target_field": "text"})
    (one,) = enriched(rewritten, event("d", {"code": "A"}, text="old"))
    assert one.event is not None
    assert (one.event.text, one.event.payload, one.changed) == ("first", {"code": "A"}, ("text",))
    assert given_to(rewritten, {"code": "A", "text": "over"}, text="old") == {"code": "A", "text": "first"}


@pytest.mark.parametrize("payload", [["a", "list"], "text", 7])
def test_a_payload_without_fields_is_left_alone(payload: Any) -> None:
    literal = [{"input_key": "code", "source_type": "literal", "override": "A"}]
    (one,) = enriched(flat(LABEL, input_mappings=literal), event("d", payload))
    assert (one.event, one.problem) == (None, "its payload is no object, so it has no fields to write to")


def test_no_payload_becomes_one() -> None:
    literal = [{"input_key": "code", "source_type": "literal", "override": "A"}]
    assert given_to(flat(LABEL, input_mappings=literal), None) == {"topic": "first"}


@pytest.mark.parametrize("config", [flat(retriever_id="gone"), {"taxonomy_type": "hierarchical"}])
def test_a_taxonomy_that_cannot_be_matched_says_so(config: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match="taxonomy"):
        read_taxonomy("tax", Definitions(config))
    with pytest.raises(PlanError, match="no taxonomy 'other'"):
        read_taxonomy("other", Definitions(flat()))
