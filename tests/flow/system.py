"""The whole system in one process: HTTP application, stations, a real broker and database."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
from pydantic import SecretStr

from schemas.events.alert_result import AlertResultRecord, decode_alert_result
from schemas.topics import ALERT_RESULTS
from streams.api.namespaces import ensure_namespace
from streams.collect.station import build as collect
from streams.http_app import build_http
from streams.match.station import build as match
from streams.query.station import build as query
from streams.relay.station import build as relay
from streams.runtime.agent import Context, StreamAgent
from streams.runtime.http.freshness import close_freshness
from streams.runtime.together import together
from tests.log import read_topic
from tests.support import eventually

KEY = "sk_flow"
Build = Callable[[Context], StreamAgent]
EVERYTHING: Sequence[Build] = (match, collect, relay, query)


@asynccontextmanager
async def system(context: Context, stations: Sequence[Build] = EVERYTHING) -> AsyncIterator[httpx.AsyncClient]:
    """Stations at work and a caller of the HTTP application; what a station raises is raised at the end."""
    settings = context.settings.model_copy(update={"api_key": SecretStr(KEY)})
    context = replace(context, settings=settings)
    await ensure_namespace(context.database, settings.namespace)
    agents = [build(context) for build in stations]
    running = asyncio.create_task(together(**{agent.name: agent.run() for agent in agents}))
    app = build_http(context)
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        async with httpx.AsyncClient(
            transport=transport, base_url="http://api", headers=headers, timeout=60
        ) as http:
            yield http
    finally:
        for agent in agents:
            agent.stop()
        await running
        await close_freshness(app)


async def created(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create and expect success."""
    answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def changed(http: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change and expect success."""
    answer = await http.patch(path, json=body)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


async def fired(context: Context) -> dict[str, AlertResultRecord]:
    """The results so far by document; of a document that came several times the last."""
    found: dict[str, AlertResultRecord] = {}
    for record in await read_topic(context, ALERT_RESULTS):
        result = decode_alert_result(record.value)
        found[result.document_id] = result
    return found


async def until_fired(context: Context, *documents: str) -> dict[str, AlertResultRecord]:
    """Wait until every one of these documents has fired."""
    last: dict[str, AlertResultRecord] = {}

    async def all_there() -> bool:
        last.update(await fired(context))
        return set(documents) <= last.keys()

    await eventually(all_there, timeout=30, every=0.1, what=f"{documents} fire")
    return last
