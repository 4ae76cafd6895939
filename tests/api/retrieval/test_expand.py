"""What documents refer to is put beside them, from any collection, as far as it is there."""

import asyncio
from typing import Any

from streams.api.expand import MAX_REFERENCES
from streams.api.retrieval.expand import expanded
from tests.engines.retrieval.stages.rows import row
from tests.engines.retrieval.stages.running import corpus_of

STORED = [row(f"p{number}", name=f"n{number}") for number in range(60)]


def asked(documents: list[dict[str, Any]], *fields: str) -> list[str]:
    return asyncio.run(expanded(documents, fields, corpus_of(STORED)))


def ids(document: dict[str, Any], name: str) -> list[str]:
    return [found["document_id"] for found in document["_expanded"][name]]


def test_every_reference_of_a_field_once_and_in_its_order() -> None:
    one: dict[str, Any] = {"by": "p1", "of": {"who": ["p3", "p2", "p3", "gone", 7, None, "", "p\x00"]}}
    other: dict[str, Any] = {"by": 5}
    before = dict(one)
    assert asked([one, other], "by", "of.who") == []
    assert one["_expanded"]["by"][0]["name"] == "n1"
    assert (ids(one, "by"), ids(one, "of.who")) == (["p1"], ["p3", "p2"])
    assert other["_expanded"] == {"by": [], "of.who": []}
    assert {name: value for name, value in one.items() if name != "_expanded"} == before


def test_so_many_references_and_no_more() -> None:
    names = [f"p{number}" for number in range(60)]
    exactly: list[dict[str, Any]] = [{"by": names[:MAX_REFERENCES]}, {"by": names[0]}]
    assert asked(exactly, "by") == []
    assert ids(exactly[0], "by") == names[:MAX_REFERENCES]
    documents: list[dict[str, Any]] = [{"by": name} for name in names]
    assert asked(documents, "by") == [f"expand took the first {MAX_REFERENCES} of 60 references"]
    assert [ids(document, "by") for document in documents] == [
        [name] if number < MAX_REFERENCES else [] for number, name in enumerate(names)
    ]
