"""Who may do what, and identifiers that name nothing."""

import httpx
import pytest

from streams.runtime.agent import Context
from streams.runtime.http.pages import encode_cursor
from tests.api import make
from tests.api.conftest import caller
from tests.api.make import refused
from tests.api.test_namespaces import add_key


async def test_a_key_that_reads_changes_nothing_whatever_things_are_called(
    api: httpx.AsyncClient, here: Context
) -> None:
    await make.collection(api)
    await make.collection(api, "history")
    await add_key(here, "sk_reader", None, ["read"])
    async with caller(here, "sk_reader") as reader:
        assert (await reader.post("/v1/collections/list")).status_code == 200
        assert (await reader.get("/v1/collections/history")).status_code == 200
        for answer in (
            await reader.delete("/v1/collections/history"),
            await reader.patch("/v1/collections/history", json={"description": "mine"}),
            await reader.delete("/v1/collections/news/documents/a/list"),
            await reader.put("/v1/namespaces/history", json={"description": "mine"}),
        ):
            refused(answer, 403, "ForbiddenError")
    assert (await api.get("/v1/collections/history")).json()["description"] is None


LONG = "x" * 20_000
PATHS = (
    "/v1/alerts/{}",
    "/v1/clusters/{}",
    "/v1/clusters/triggers/{}",
    "/v1/collections/{}",
    "/v1/collections/news/documents/{}",
    "/v1/namespaces/{}",
    "/v1/retrievers/{}",
    "/v1/tasks/{}",
    "/v1/triggers/{}",
)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "identifier", ["%00", "a%00b", LONG, "%ED%A0%80"], ids=["nul", "inner nul", "long", "lone"]
)
async def test_an_identifier_that_cannot_be_names_nothing(
    api: httpx.AsyncClient, path: str, identifier: str
) -> None:
    await make.collection(api)
    refused(await api.get(path.format(identifier)), 404, "NotFoundError")


async def test_a_namespace_that_cannot_be_is_not_there(api: httpx.AsyncClient) -> None:
    for value in (b"a\x00b", LONG.encode(), b"\xff\xfe"):
        answer = await api.get("/v1/alerts", headers=[(b"X-Namespace", value)])
        refused(answer, 404, "NotFoundError")
    refused(await api.get("/v1/alerts", params={"namespace": LONG}), 404, "NotFoundError")
    for query in ("namespace=%00", "namespace=a%00b", "search=%00", "resource_id=%00", "%00=1"):
        path = "/v1/triggers" if "resource" in query else "/v1/alerts"
        refused(await api.get(f"{path}?{query}"), 400, "BadRequestError")


async def test_a_cursor_of_nobody_is_refused(api: httpx.AsyncClient) -> None:
    for moment in ("yesterday", "2026-01-01", "", "9999-99-99T00:00:00Z"):
        cursor = encode_cursor(("created_at", True, moment, "alt_1"))
        refused(await api.get("/v1/alerts", params={"cursor": cursor}), 404, "NotFoundError")
