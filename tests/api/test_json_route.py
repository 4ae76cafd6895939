from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.strict_json import MAX_DEPTH, problem_in
from streams.runtime.http.body_limit import MAX_BODY_BYTES
from tests.api.make import refused


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
        max_leaves=20,
    )
)
def test_only_nul_and_depth_are_refused(value: Any) -> None:
    assert (problem_in(value) is not None) is ("\x00" in flat(value))


def flat(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(value) + "".join(map(flat, value.values()))
    if isinstance(value, list):
        return "".join(map(flat, value))
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("depth", "fine"), [(0, True), (MAX_DEPTH - 1, True), (MAX_DEPTH, False), (500, False)])
def test_depth(depth: int, fine: bool) -> None:
    assert (problem_in(nested(depth)) is None) is fine


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 422),
        (b'{"collection_name": NaN}', 422),
        (b'{"collection_name": "\\ud800"}', 422),
        (b'{"collection_name": "a\\u0000b"}', 422),
        (b"[" * 3000 + b"]" * 3000, 422),
        (b"[]", 422),
        (b"null", 422),
        (b"", 422),
        (b'"' + b"x" * MAX_BODY_BYTES + b'"', 413),
    ],
)
async def test_a_body_that_is_no_body_has_the_envelope(
    api: httpx.AsyncClient, content: bytes, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/v1/collections", content=content, headers=headers)
    refused(answer, status, "ValidationError" if status == 422 else "BadRequestError")


async def test_an_empty_body_is_an_empty_object_where_a_body_is_optional(api: httpx.AsyncClient) -> None:
    for path in ("collections", "retrievers", "alerts", "clusters", "triggers", "namespaces"):
        answer = await api.post(f"/v1/{path}/list", headers={"Content-Type": "application/json"})
        assert answer.status_code == 200, path
    assert (await api.post("/v1/clusters/triggers/list")).status_code == 200
    # A body on a GET is accepted and never needed (contract 1.1).
    assert (await api.request("GET", "/v1/alerts", json={"limit": 1})).status_code == 200
    answer = await api.post("/v1/alerts/list", content=b"a=1")
    assert "application/json" in refused(answer, 422, "ValidationError")["message"]
