"""A view that nobody fills, though there is something to read, is not well."""

import httpx
import pytest
from pydantic import SecretStr

from schemas.headers import SourcePosition
from schemas.topics import ALERT_RESULTS
from schemas.write_token import MinPosition
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.freshness import Freshness
from streams.runtime.http import health
from streams.runtime.http.freshness import close_freshness
from tests.log import let_go
from tests.query.support import drained, publish, running
from tests.support import TestBroker, eventually

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


@pytest.mark.kafka
@pytest.mark.parametrize("read_before", [False, True])
async def test_what_is_kept_no_longer_is_not_waited_for(
    context: Context, real_kafka: TestBroker, read_before: bool
) -> None:
    """A view that is made again, or goes on after a long time, finds partitions whose records are all gone."""
    if read_before:
        await publish(context, ALERT_RESULTS, [(b"k", b"{}")])
        async with running(context):
            await drained(context)
    await publish(context, ALERT_RESULTS, [(b"k", b"{}")])
    await let_go(context, ALERT_RESULTS)
    async with context.database.connection() as connection:
        await connection.execute(
            "INSERT INTO match_progress (partition, namespace_id, collection_id, next_offset, occurred_at,"
            " appended_at, definitions_version) VALUES (0, 'ns', 'col', 1, now(), now(), 1)"
        )
    fresh = Freshness(context)
    try:
        before = context.clock()
        assert await fresh.applied_through() >= before
        for _ in range(2):
            assert await fresh.stands_still() == 0
        assert await fresh.viewed(MinPosition((), (SourcePosition(0, 0),)), 0.5)
    finally:
        await fresh.close()
