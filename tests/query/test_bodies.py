"""Bodies of reads are read as strictly as those of writes."""

import pytest

from streams.runtime.agent import Context
from tests.query.support import client, define_namespace


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"{", "application/json"),
        (b'{"limit": NaN}', "application/json"),
        (b'{"search": "a\\u0000b"}', "application/json"),
        (b"[" * 3000 + b"]" * 3000, "application/json"),
        (b"{}", "text/plain"),
    ],
)
@pytest.mark.parametrize(
    "path",
    ["retrievers/ret_a/executions/list", "clusters/clust_1/executions/list", "clusters/triggers/trig_1/history"],
)
async def test_bodies_are_read_as_strictly_as_those_of_definitions(
    context: Context, path: str, content: bytes, kind: str
) -> None:
    async with client(context) as http:
        answer = await http.post(f"/v1/{path}", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "ValidationError")


@pytest.mark.parametrize(
    "content", [b"{", b'{"limit": NaN}', b'{"cursor": "a\\u0000b"}', b"[" * 3000 + b"]" * 3000]
)
async def test_the_body_of_a_get_is_read_as_strictly(context: Context, content: bytes) -> None:
    await define_namespace(context)
    async with client(context) as http:
        answer = await http.request("GET", "/v1/alerts/executions", content=content)
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "ValidationError")
