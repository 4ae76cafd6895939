"""A view that nobody fills, though there is something to read, is not well."""

import httpx
import pytest
from pydantic import SecretStr

from schemas.topics import ALERT_RESULTS
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.http import health
from streams.runtime.http.freshness import close_freshness
from tests.query.support import publish
from tests.support import eventually

HEADERS = {"Authorization": "Bearer sk_health"}


async def test_a_view_that_stands_still_is_noticed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = context.settings.model_copy(update={"api_key": SecretStr("sk_health")})
    app = build_http(Context(settings, context.broker, context.database))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=HEADERS) as client:
        try:
            assert (await client.get("/v1/health/deep")).json()["status"] == "OK"
            await publish(context, ALERT_RESULTS, [(b"k", b"{}")])
            # So long it may take: another process may be about to read it.
            assert (await client.get("/v1/health/deep")).json()["status"] == "OK"
            monkeypatch.setattr(health, "STANDS_SECONDS", 0.05)

            async def degraded() -> bool:
                body = (await client.get("/v1/health/deep")).json()
                return bool(body["status"] == "DEGRADED" and list(body["errors"]) == ["analytics"])

            await eventually(degraded)
            told = (await client.get("/metrics")).text
            (line,) = (one for one in told.splitlines() if one.startswith("tidewatch_view_standing_seconds "))
            assert float(line.split()[1]) >= 0.05
        finally:
            await close_freshness(app)
