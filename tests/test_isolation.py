"""Nobody reads or guesses across namespaces: every route of the application, whatever routes there are."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.http.access import only_reads
from streams.runtime.http.freshness import close_freshness
from streams.runtime.http.guard import OPEN
from streams.runtime.http.openapi.examples import read_examples
from streams.runtime.http.openapi.operations import operations as described
from tests.api.test_namespaces import add_key
from tests.isolation import Operation, Tenant, aims, operations, tenant, unknown

ROOT = "sk_root"


STREAM = "/stream"
"""Routes that end so answer until the caller goes away."""


class Caller(httpx.AsyncClient):
    """Goes away from an event stream that has begun."""

    async def ask(self, operation: Operation, values: Mapping[str, str], body: Any) -> httpx.Response:
        """One request to a route."""
        asked = self.request(operation.method, operation.url(values), json=body)
        if not operation.path.endswith(STREAM):
            return await asked
        try:
            return await asyncio.wait_for(asked, 2)
        except TimeoutError:
            return httpx.Response(200)


class World:
    """The application, two tenants, and a caller for every key."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.operations = operations(app)
        self.own: Tenant
        self.foreign: Tenant
        examples = read_examples()
        self._bodies = {
            (one.method, one.path): examples[one.name]["request"]
            for one in described(app)
            if "request" in examples.get(one.name, {})
        }

    def caller(self, key: str | None, namespace: str | None = None) -> Caller:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        if namespace is not None:
            headers["X-Namespace"] = namespace
        transport = httpx.ASGITransport(self.app)
        return Caller(transport=transport, base_url="http://test", headers=headers)

    def body(self, operation: Operation) -> Any:
        """A body that the route would take."""
        path = operation.path.replace(":path}", "}")
        given = self._bodies.get((operation.method, path), BODIES.get((operation.method, path), {}))
        return json.loads(json.dumps(given))


BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/v1/collections/{collection_identifier}/documents"): {"title": "x"},
    ("PATCH", "/v1/collections/{collection_identifier}/documents/{document_id}"): {"title": "x"},
    ("PUT", "/v1/collections/{collection_identifier}/documents/{document_id}"): {"title": "x"},
    ("POST", "/v1/alerts/{alert_identifier}/explain"): {"document": {"text": "ebola"}},
    ("POST", "/v1/retrievers/{retriever_id}/execute/batch"): {"queries": [{"inputs": {}}]},
    ("POST", "/v1/retrievers/{retriever_id}/clone"): {"retriever_name": "copy"},
    ("POST", "/v1/collections/{collection_identifier}/clone"): {"collection_name": "copy"},
    ("POST", "/v1/taxonomies/{taxonomy_identifier}/clone"): {"taxonomy_name": "copy"},
    ("POST", "/v1/namespaces/{namespace_id}/documents/upsert"): {"documents": [{"document_id": "x"}]},
    ("PATCH", "/v1/namespaces/{namespace_identifier}"): {"description": "taken"},
    ("PUT", "/v1/namespaces/{namespace_identifier}"): {"description": "taken"},
}


@pytest.fixture
async def world(context: Context) -> AsyncIterator[World]:
    settings = context.settings.model_copy(update={"api_key": SecretStr(ROOT), "rate_limit": 0.0})
    here = Context(settings, context.broker, context.database, context.clock)
    found = World(build_http(here))
    for name, word, offset in (("own", "ours", 1), ("foreign", "zebra", 2)):
        async with found.caller(ROOT) as root:
            setattr(found, name, await tenant(root, here, word, offset))
    await add_key(here, "sk_own", [found.own.namespace_id], ["read", "write", "admin"])
    await add_key(here, "sk_reader", None, ["read"])
    yield found
    await close_freshness(found.app)


def told(answer: httpx.Response, *hidden: str) -> tuple[int, Any]:
    """What an answer says but for the identifiers that were asked for."""
    text = answer.text
    for identifier in sorted(hidden, key=len, reverse=True):
        text = text.replace(identifier, "?")
    return answer.status_code, text


async def test_nothing_is_answered_without_a_key(world: World) -> None:
    bodies = set()
    async with world.caller(None) as nobody:
        for operation in world.operations:
            if operation.path in OPEN:
                continue
            values = next(iter(aims(operation, world.own, world.foreign)), ({}, {}))[0]
            answer = await nobody.ask(operation, values, world.body(operation))
            assert answer.status_code == 401, (operation, answer.text)
            bodies.add(answer.text)
    assert len(bodies) == 1


async def test_a_reader_changes_nothing(world: World) -> None:
    refusals = set()
    async with world.caller("sk_reader", world.foreign.namespace_id) as reader:
        for operation in world.operations:
            values = next(iter(aims(operation, world.foreign, world.foreign)), ({}, {}))[0]
            if only_reads(operation.method, operation.path) or operation.path == "/v1/session":
                continue
            for url in (operation.url(values), operation.url(dict.fromkeys(values, "nothing"))):
                answer = await reader.request(operation.method, url, json=world.body(operation))
                assert answer.status_code == 403, (operation, answer.text)
                if answer.json()["error"]["type"] != "NotEnabledError":
                    refusals.add(answer.text)
    # The same words whether what was named is there or not.
    assert len(refusals) <= 2, refusals


async def test_a_namespace_that_the_key_does_not_reach_is_not_there(world: World) -> None:
    foreign = world.foreign
    for identifier in (foreign.namespace_id, foreign.names.get("namespace", "zebra-space")):
        nothing = unknown(identifier)
        async with world.caller("sk_own", identifier) as there, world.caller("sk_own", nothing) as nowhere:
            for operation in world.operations:
                if operation.path == "/v1/session":
                    continue
                body = world.body(operation)
                for values, _ in [*aims(operation, foreign, foreign)][:1] or [({}, {})]:
                    if any(name.startswith("namespace") for name in values):
                        continue
                    one = await there.ask(operation, values, body)
                    other = await nowhere.ask(operation, values, body)
                    assert told(one, identifier, nothing) == told(other, identifier, nothing), operation
                    assert "zebra" not in one.text.replace(identifier, "").replace(_sent(values), ""), operation


def _sent(values: Mapping[str, str]) -> str:
    return next(iter(values.values()), "\0")


async def test_a_foreign_identifier_names_nothing(world: World) -> None:
    async with world.caller(ROOT, world.foreign.namespace_id) as root:
        before = await everything(world, root)
    assert len(before) > 25
    looked = 0
    async with world.caller("sk_own", world.own.namespace_id) as own:
        for operation in world.operations:
            body = world.body(operation)
            for theirs, nothing in aims(operation, world.own, world.foreign):
                one = await own.ask(operation, theirs, body)
                other = await own.ask(operation, nothing, body)
                hidden = [*theirs.values(), *nothing.values()]
                assert told(one, *hidden) == told(other, *hidden), (operation, theirs)
                assert dict(one.headers).keys() == dict(other.headers).keys(), (operation, theirs)
                looked += one.status_code == 404
                if "NotEnabledError" in one.text:
                    break
    assert looked > 100
    async with world.caller(ROOT, world.foreign.namespace_id) as root:
        assert await everything(world, root) == before


async def everything(world: World, root: httpx.AsyncClient) -> dict[str, Any]:
    """All that is told of the foreign tenant, by address."""
    found: dict[str, Any] = {}
    for operation in world.operations:
        if operation.method != "GET" or not operation.path.startswith("/v1/") or "health" in operation.path:
            continue
        if operation.path.endswith(STREAM):
            continue
        for values, _ in aims(operation, world.foreign, world.foreign):
            answer = await root.get(operation.url(values))
            if answer.status_code == 200:
                found[operation.url(values)] = answer.json()
    return found


async def test_no_list_and_no_answer_names_anything_foreign(world: World) -> None:
    async with world.caller("sk_own", world.own.namespace_id) as own:
        seen = 0
        for operation in world.operations:
            reads = only_reads(operation.method, operation.path)
            if not reads or operation.path == "/metrics":
                continue
            for values, _ in [*aims(operation, world.own, world.own)] or [({}, {})]:
                answer = await own.ask(operation, values, world.body(operation))
                seen += answer.status_code == 200
                for text in world.foreign.texts():
                    assert text not in answer.text, (operation, text)
    assert seen > 40


def _foreign_references(body: Any, own: Tenant, target: Mapping[str, str]) -> Any:
    """A body with other identifiers in the places of one's own."""
    text = json.dumps(body)
    for kind, identifier in own.ids.items():
        text = text.replace(f'"{identifier}"', f'"{target[kind]}"')
    return json.loads(text)


async def test_a_body_that_refers_to_something_foreign_refers_to_nothing(world: World) -> None:
    own, foreign = world.own, world.foreign
    nothing = {kind: unknown(identifier) for kind, identifier in foreign.ids.items()}
    schedule = {"trigger_type": "cron", "schedule_config": {"cron_expression": "0 0 1 1 *"}}
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/v1/alerts", {"name": "a", "retriever_id": own.ids["retriever"], "notification_config": {}}),
        ("PATCH", f"/v1/alerts/{own.names['alert']}", {"retriever_id": own.ids["retriever"]}),
        (
            "PATCH",
            f"/v1/collections/{own.names['collection']}",
            {"alert_applications": [{"alert_id": own.ids["alert"]}]},
        ),
        (
            "POST",
            "/v1/retrievers",
            {
                "retriever_name": "r",
                "collection_identifiers": [own.ids["collection"]],
                "stages": [{"stage_name": "s", "config": {"stage_id": "limit", "parameters": {"limit": 1}}}],
            },
        ),
        (
            "POST",
            "/v1/retrievers/execute",
            {"collection_identifiers": [own.ids["collection"]], "stages": _everything_of()},
        ),
        (
            "POST",
            "/v1/triggers",
            {**schedule, "action_type": "cluster", "action_config": {"cluster_id": own.ids["cluster"]}},
        ),
        ("POST", "/v1/clusters/triggers", {**schedule, "cluster_id": own.ids["cluster"]}),
        ("POST", "/v1/triggers/list", {"resource_id": own.ids["cluster"]}),
        ("POST", "/v1/clusters/triggers/list", {"cluster_id": own.ids["cluster"]}),
        ("POST", "/v1/documents/batch-get", {"document_ids": [own.ids["document"]]}),
        ("POST", "/v1/documents/list", {"collection_ids": [own.ids["collection"]]}),
    ]
    async with world.caller("sk_own", own.namespace_id) as api:
        for method, path, body in requests:
            theirs = _foreign_references(body, own, foreign.ids)
            unreal = _foreign_references(body, own, nothing)
            assert theirs != body, path
            one = await api.request(method, path, json=theirs)
            other = await api.request(method, path, json=unreal)
            hidden = [*foreign.ids.values(), *nothing.values()]
            assert told(one, *hidden) == told(other, *hidden), (method, path)
            assert foreign.word not in told(one, *hidden)[1], (method, path)


def _everything_of() -> list[dict[str, Any]]:
    condition = {"field": "title", "operator": "exists", "value": True}
    return [
        {"stage_name": "s", "config": {"stage_id": "attribute_filter", "parameters": {"conditions": condition}}}
    ]
