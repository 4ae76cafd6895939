import asyncio
from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from fastapi import Request
from pydantic import SecretStr

from schemas.topics import TOPICS, TRIGGER_COMMANDS
from streams.app import SERVED, STATIONS, choose
from streams.collect.station import Collect
from streams.http_app import HttpServer, build_http
from streams.match.station import Match
from streams.notify.station import Decider
from streams.query.station import ViewWriter
from streams.runtime.agent import Context, names
from streams.runtime.database import Database
from streams.runtime.http.body_limit import MAX_BODY_BYTES
from streams.settings import Settings
from tests.support import eventually

KEY = {"Authorization": "Bearer sk_app"}


@pytest.fixture
async def client(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    settings = context.settings.model_copy(update={"api_key": SecretStr("sk_app")})
    app = build_http(Context(settings, context.broker, context.database))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def test_every_topic_is_written_and_read_by_a_station_of_the_registry() -> None:
    read = {name for station in STATIONS for name in station.reads}
    written = {name for station in STATIONS for name in station.writes}
    topics = {topic.name for topic in TOPICS}
    assert topics - read == {"dead-letters"}
    assert topics - written == {"dead-letters"}


def test_the_registry_says_what_the_document_stations_read() -> None:
    reads = {station.name: set(station.reads) for station in STATIONS}
    for handler in (Match, Collect, Decider, ViewWriter):
        assert set(names(*handler.topics)) <= reads[handler.name]
    assert set(names(TRIGGER_COMMANDS)) == reads["act"]


def test_the_worker_runs_all_but_what_the_query_service_runs() -> None:
    assert [s.name for s in choose()] + [SERVED] == [s.name for s in STATIONS]
    assert [s.name for s in choose(["relay", "match"])] == ["match", "relay"]
    with pytest.raises(ValueError, match="unknown station math; there are match, collect"):
        choose(["match", "math"])


async def test_every_station_is_built_under_its_own_name_and_opens_nothing(settings: Settings) -> None:
    from streams.runtime.broker import Broker

    nowhere = settings.model_copy(update={"kafka": "127.0.0.1:1", "database": "postgresql://x@127.0.0.1:1/x"})
    context = Context(nowhere, Broker(nowhere), Database(nowhere))
    assert [station.build(context).name for station in STATIONS] == [station.name for station in STATIONS]


async def test_health_needs_no_key_but_the_deep_one_does(client: httpx.AsyncClient) -> None:
    for path in ("/v1/health", "/v1/health/liveness"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()) == (200, {"status": "OK"})
    assert (await client.get("/v1/health/deep")).status_code == 401
    answer = await client.get("/v1/health/deep", headers=KEY)
    body = answer.json()
    assert (answer.status_code, body["status"], body["errors"]) == (200, "OK", None)
    assert set(body["data"]) >= {
        "cache",
        "metadata",
        "vector_store",
        "object_storage",
        "task_queue",
        "inference",
    }
    assert all(body["data"].values())
    assert answer.headers["x-definitions-version"] == body["meta"]["definitions_version"]


async def test_deep_health_says_what_does_not_answer(context: Context) -> None:
    from streams.runtime.broker import Broker

    settings = context.settings.model_copy(update={"api_key": SecretStr("sk_app"), "kafka": "127.0.0.1:1"})
    app = build_http(Context(settings, Broker(settings), context.database))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        body = (await client.get("/v1/health/deep", headers=KEY)).json()
    assert (body["status"], body["data"]["task_queue"], body["data"]["metadata"]) == ("DEGRADED", False, True)
    assert list(body["errors"]) == ["task_queue"]


async def test_metrics_are_served(client: httpx.AsyncClient) -> None:
    assert (await client.get("/metrics")).status_code == 401
    answer = await client.get("/metrics", headers=KEY)
    assert answer.status_code == 200
    assert "tidewatch_records_total" in answer.text


async def test_a_request_id_is_kept_where_it_is_usable_and_made_where_not(client: httpx.AsyncClient) -> None:
    kept = await client.get("/v1/health", headers={"X-Request-ID": "trace-7"})
    assert kept.headers["x-request-id"] == "trace-7"
    for bad in ("", "a b", "x" * 200):
        made = (await client.get("/v1/health", headers={"X-Request-ID": bad})).headers["x-request-id"]
        assert made.startswith("req_")
    assert (await client.get("/v1/nothing")).headers["x-request-id"]


async def test_a_body_over_the_limit_is_refused_by_its_length_and_as_it_arrives(client: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 2**20 + 2):
            yield b" " * 2**20

    for content in (b" " * (MAX_BODY_BYTES + 1), endless()):
        headers = {**KEY, "Content-Type": "application/json"}
        answer = await client.post("/v1/namespaces", headers=headers, content=content)
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "BadRequestError")


async def test_unknown_paths_and_methods_have_the_envelope(client: httpx.AsyncClient) -> None:
    for answer, status in (
        (await client.get("/v1/nope"), 401),
        (await client.get("/v1/nope", headers=KEY), 404),
        (await client.put("/v1/health"), 405),
    ):
        assert (answer.status_code, answer.json()["status"], answer.json()["success"]) == (status, status, False)


async def test_literal_routes_come_before_identifiers(client: httpx.AsyncClient, context: Context) -> None:
    # An alert called "executions" does not exist: the identifier route would answer 404.
    from streams.api.namespaces import ensure_namespace

    await ensure_namespace(context.database, context.settings.namespace)
    assert (await client.get("/v1/alerts/executions", headers=KEY)).status_code == 200


async def test_the_http_agent_serves_until_it_is_stopped(context: Context) -> None:
    server = HttpServer(context, build_http(context))
    task = asyncio.create_task(server.run())

    async def listening() -> bool:
        return server.port is not None

    await eventually(listening)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert (await client.get("/v1/health")).status_code == 200
        second = context.settings.model_copy(update={"port": server.port})
        with pytest.raises(OSError, match="in use"):
            await HttpServer(Context(second, context.broker, context.database), build_http(context)).run()
    server.stop()
    async with asyncio.timeout(3):
        await task


async def test_a_database_that_is_away_is_a_503_that_says_when_to_come_back(context: Context) -> None:
    settings = context.settings.model_copy(update={"api_key": SecretStr("sk_app")})
    app = build_http(Context(settings, context.broker, context.database))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def away(request: Request) -> None:
        raise psycopg.OperationalError("connection refused")

    app.add_api_route("/away", away)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/away", headers=KEY)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    error = answer.json()["error"]
    assert error["details"]["retryable"] is True
    assert "refused" not in error["message"]
