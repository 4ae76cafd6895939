"""Hostile text wherever a caller may write some: it is data, never a statement, a pattern or a template."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from schemas.events.document import UPSERTED, DocumentEvent
from streams.api.namespaces import ensure_namespace
from streams.http_app import build_http
from streams.runtime.agent import Context
from streams.runtime.http.freshness import close_freshness
from tests.api import make
from tests.isolation import NOW
from tests.retrieval.storing import store

ROOT = {"Authorization": "Bearer sk_root"}
FRAGMENTS = (
    "'",
    "''",
    '"',
    '\\"',
    "\\",
    "--",
    "/*",
    "*/",
    ";",
    "%",
    "_",
    "*",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "$",
    "$$",
    "?",
    "@",
    "%s",
    "%(namespace)s",
    "%%",
    ":",
    "::",
    "::jsonb",
    "{0}",
    "{field}",
    "{{",
    "}}",
    "{{INPUT.x}}",
    "{{DOC.text}}",
    "{% for i in range(99999999) %}",
    "{{ ''.__class__.__mro__ }}",
    "{{ 9**9**9 }}",
    "' OR '1'='1",
    "1; DROP TABLE d",
    "'; SELECT pg_sleep(9); --",
    "UNION SELECT secret_sha256 FROM api_keys",
    "body->>'x'",
    "documents",
    "a",
    "b",
    "News",
    ".",
    "..",
    "/",
    "%2e",
    "$.**",
    "@.x == 1",
    "99999999999",
    "-1",
    "0",
    "1e309",
    "null",
    "\x7f",
    "\u202e",
    "é",
    "🙂",
    "\ud7ff",
)
hostile = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=5).map("".join)
NAMES = ("plain", "with-dash", "under_score")
DESCRIPTIONS = ("100% of 'News'", "a_b\\c; -- d", '{{INPUT.x}} "$$" é')


@pytest.fixture
async def api(context: Context) -> AsyncIterator[httpx.AsyncClient]:
    known = context.settings.model_copy(update={"api_key": SecretStr("sk_root"), "rate_limit": 0.0})
    here = Context(known, context.broker, context.database, context.clock)
    await ensure_namespace(here.database, known.namespace)
    app = build_http(here)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=ROOT) as client:
        for name, description in zip(NAMES, DESCRIPTIONS, strict=True):
            collection = await make.collection(client, name, description=description)
        namespace = (await client.get("/v1/namespaces/default")).json()["namespace_id"]
        payload = {"title": "100% of 'News'", "tags": ["a", "b"], "deep": {"a": [{"b": 1}]}}
        event = DocumentEvent(UPSERTED, namespace, collection["collection_id"], "doc_1", NOW, payload=payload)
        await store(here.database, [event])
        yield client
    await close_freshness(app)


def found(text: str, search: str) -> bool:
    """What a search means: a substring, or the whole with ``*`` for anything."""
    if "*" not in search:
        return search.lower() in text.lower()
    pattern = ".*".join(re.escape(part) for part in search.lower().split("*"))
    return re.fullmatch(pattern, text.lower(), re.DOTALL) is not None


def requests(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Hostile text in every place of the list endpoints, and of what runs a filter over documents."""
    condition = {"field": text, "operator": "eq", "value": text}
    stage = {
        "stage_name": text[:40],
        "config": {"stage_id": "attribute_filter", "parameters": {"conditions": condition}},
    }
    templated = {
        **stage,
        "config": {
            "stage_id": "attribute_filter",
            "parameters": {"conditions": {**condition, "field": "title", "value": f"{{{{INPUT.x}}}}{text}"}},
        },
    }
    here = {"collection_identifiers": ["under_score"]}
    bodies = (
        {"search": text},
        {"filters": {"AND": [condition]}},
        {"filters": {text: text}},
        {"filters": {"AND": [{"field": "description", "operator": "contains", "value": text}]}},
        {"sort": {"field": text, "direction": "desc"}},
        {"sorts": [{"field": text, "direction": "asc"}]},
        {"cursor": text},
    )
    lists = ("collections", "alerts", "retrievers", "clusters", "taxonomies", "namespaces", "tasks")
    made: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", f"/v1/{kind}/list", body) for kind in lists[:2] for body in bodies
    ]
    made += [("POST", f"/v1/{kind}/list", bodies[len(text) % len(bodies)]) for kind in lists[2:]]
    made += [("POST", "/v1/collections/under_score/documents/list", body) for body in bodies]
    made += [
        ("POST", "/v1/retrievers/execute", {**here, "stages": [stage]}),
        ("POST", "/v1/retrievers/execute", {**here, "stages": [templated], "inputs": {"x": text}}),
        ("POST", "/v1/triggers/list", {"sort_by": text}),
        ("POST", "/v1/triggers/list", {"resource_id": text, "status": text}),
        ("POST", "/v1/collections/under_score/documents/distinct", {"field": text}),
        ("POST", "/v1/documents/batch-get", {"document_ids": [text]}),
    ]
    return made


@given(text=hostile)
@example("deep.a.99999999999.b")
@example("*".join("abcdefgh" * 40))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
async def test_hostile_text_is_data(api: httpx.AsyncClient, text: str) -> None:
    for method, path, body in requests(text):
        answer = await api.request(method, path, json=body)
        assert answer.status_code in (200, 400, 404, 409, 422), (path, body, answer.text)
        assert "psycopg" not in answer.text
        assert "SELECT" not in answer.text.replace(text, "").replace(text.upper(), "") or "SELECT" in text, path
    for name in ("search", "cursor", "namespace", "min_position", "sort_by", "resource_id"):
        answer = await api.get(
            "/v1/triggers" if name in ("sort_by", "resource_id") else "/v1/alerts", params={name: text}
        )
        assert answer.status_code in (200, 400, 404, 409, 422), (name, answer.text)
    # A search finds what holds the text, whatever it means to a database.
    listed = await api.post("/v1/collections/list", json={"search": text})
    expected = {
        name
        for name, description in zip(NAMES, DESCRIPTIONS, strict=True)
        if found(name, text) or found(description, text)
    }
    got = {item["collection_name"] for item in listed.json()["results"]}
    # An id may hold a letter or a digit of the text, too.
    assert expected <= got
    if not re.fullmatch(r"[\w*]*", text):
        assert got == expected
    # Everything is still there.
    assert (await api.get("/v1/collections")).json()["total_count"] == len(NAMES)


TEMPLATES = (
    "{% for i in range(10**9) %}x{% endfor %}",
    "{{ 'x' * 10**9 }}",
    "{{ 9**9**9 }}",
    "{{ range(10**9) | list }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}x" + "{% endfor %}" * 3,
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ INPUT.__class__ }}",
    "{{ ('x' | center(10**9)) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ lipsum(10**6) }}",
    "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
)


async def test_a_template_has_limits_and_reaches_nothing(api: httpx.AsyncClient) -> None:
    for template in TEMPLATES:
        await _harmless(api, template)


async def _harmless(api: httpx.AsyncClient, template: str) -> None:
    condition = {"field": "title", "operator": "eq", "value": template}
    stage = {
        "stage_name": "t",
        "config": {"stage_id": "attribute_filter", "parameters": {"conditions": condition}},
    }
    body = {"collection_identifiers": ["under_score"], "stages": [stage], "inputs": {"x": "y"}}
    answer = await api.post("/v1/retrievers/execute", json=body, timeout=60)
    assert answer.status_code in (200, 400, 404, 409, 422), answer.text
    for word in ("root:", "uid=", "<class", "__globals__': {", "MemoryError"):
        assert word not in answer.text
    assert len(answer.content) < 100_000
