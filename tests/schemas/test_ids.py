"""Identifiers are stable, distinct and come apart again."""

import re

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    BASE_BYTES,
    ExecutionHasher,
    ExecutionRef,
    derived_id,
    document_key,
    execution_id,
    new_id,
    parse_execution_id,
)
from schemas.topics import TOPICS


@given(st.binary(min_size=BASE_BYTES, max_size=BASE_BYTES), st.integers(1, 2**63 - 1))
def test_an_execution_id_comes_apart(base: bytes, number: int) -> None:
    assert parse_execution_id(execution_id(base, number)) == ExecutionRef(base, number)


@given(st.text())
def test_other_text_is_not_an_execution_id(text: str) -> None:
    parsed = parse_execution_id(text)
    assert parsed is None or execution_id(*parsed) == text


def test_the_base_depends_on_epoch_namespace_and_identity_only() -> None:
    hasher = ExecutionHasher("epoch")
    base = hasher.base("n", None, "documents", 1, 2)
    assert base.hex() == "46e8ee3d87deece40d546556"
    others = {
        ExecutionHasher("other").base("n", None, "documents", 1, 2),
        hasher.base("m", None, "documents", 1, 2),
        hasher.base("n", None, "documents", 1, 3),
        hasher.base("n", None, "documents", 2, 2),
        hasher.base("n", "documents/1/2", "documents", 1, 2),
    }
    assert base not in others
    assert len(others) == 5
    assert hasher.base("n", "e", "documents", 1, 2) == hasher.base("n", "e", "elsewhere", 5, 9)


def test_new_ids_have_the_formats_of_the_contract() -> None:
    assert re.fullmatch(r"col_[a-z0-9]{10}", new_id("collection"))
    assert re.fullmatch(r"clust_[a-z0-9]+", new_id("cluster"))
    assert re.fullmatch(r"alt_[a-z0-9]{16}", new_id("alert"))
    assert new_id("alert") != new_id("alert")


def test_derived_ids_are_stable() -> None:
    assert derived_id("job_", "trig_1", 3) == derived_id("job_", "trig_1", "3")
    assert derived_id("job_", "a", "bc") != derived_id("job_", "ab", "c")


def test_document_keys_and_topics() -> None:
    assert document_key("n", "c", "d/1") == b"n/c/d/1"
    assert len({topic.name for topic in TOPICS}) == len(TOPICS)
    assert TOPICS[0].named("dev-") == "dev-documents"
