"""The checked-in table of endpoints against the application and the SDK."""

import re

import httpx
import pytest
from fastapi import FastAPI

from streams.api.refused import AREAS, ENDPOINTS
from streams.http_app import build_http
from streams.runtime.agent import Context
from tests.api.conftest import KEY
from tests.api.sdk.endpoints import (
    TABLE,
    Endpoint,
    application,
    endpoint,
    reason,
    sdk_methods,
    served,
    table,
    within,
)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return application()


def test_the_table_is_what_the_application_serves_and_the_sdk_calls(app: FastAPI) -> None:
    assert TABLE.read_text() == table(app), "run python -m tests.api.sdk.endpoints and look at what changed"


def test_every_call_of_the_sdk_works_or_is_refused_with_a_reason(app: FastAPI) -> None:
    working = served(app)
    called = sdk_methods()
    assert len(called) > 550
    assert [str(item) for item in called if item not in working and reason(item) is None] == []
    # What is refused is not served as well, and every refusal is about something that can be called.
    refused = {endpoint(*name.split(" ", 1)) for name in ENDPOINTS}
    assert refused & set(working) == set()
    assert [str(item) for item in refused - set(called)] == []
    idle = [area for area in AREAS if not any(within(item, area) for item in called)]
    assert idle == ["/v1/retrievers/{}/learned-fusion"]  # of the high-level client


async def test_what_is_refused_says_why(here: Context) -> None:
    called = sorted(item for item in sdk_methods() if reason(item) is not None)
    transport = httpx.ASGITransport(build_http(here))
    bearer = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=bearer) as client:
        for item in called:
            answer = await client.request(item.method, _url(item))
            assert answer.status_code == 403, (str(item), answer.text)
            error = answer.json()["error"]
            assert error["type"] == "NotEnabledError", str(item)
            assert error["message"].endswith(reason(item) or "?"), str(item)
        assert (await client.get("/v1/nothing")).status_code == 404
        client.headers.clear()
        for area in AREAS:
            assert (await client.get(area.replace("{}", "x"))).status_code == 401, area


def _url(item: Endpoint) -> str:
    return re.sub(r"\{\}", "a%20name", item.path)
