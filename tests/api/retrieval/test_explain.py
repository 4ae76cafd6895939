"""Explaining alerts that look a document up, or have last stages of their own, over HTTP on stored documents."""

import math
import random
from typing import Any

import httpx
import numpy as np
import pytest

from schemas.events.document import UPSERTED, DocumentEvent
from schemas.ids import ExecutionHasher
from streams.engines.retrieval.execution.memory import MemoryCorpus
from streams.engines.retrieval.explain.rows import MAX_FIELDS, MAX_ROWS, MAX_SHOWN
from streams.match.alerts import standing_alerts
from streams.match.arrivals import Arrival
from streams.match.compiled import Compiled
from streams.match.lookups import LookUps
from streams.match.matching import Undecided
from streams.match.references import References
from streams.match.results import Checked, compose
from streams.runtime.agent import Context
from streams.runtime.catalog import Catalog
from streams.runtime.definitions import select_definitions
from tests.api import make
from tests.api.conftest import NOW
from tests.api.make import places, refused
from tests.retrieval.storing import store

FACE = "mixpeek://passthrough_extractor@v1/face"
FROM_DOCUMENT = [{"input_key": "face", "source": {"source_type": "document_field", "path": "features.face"}}]
SCHEMA = {"face": {"type": "array", "required": True}, "city": {"type": "string", "default": "Rome"}}


def stage(stage_id: str, **parameters: Any) -> dict[str, Any]:
    return {"stage_name": stage_id, "config": {"stage_id": stage_id, "parameters": parameters}}


def alike(min_score: float = 0.9, **more: Any) -> dict[str, Any]:
    search = {"feature_uri": FACE, "query": "{{INPUT.face}}", "min_score": min_score}
    return stage("feature_search", searches=[search], final_top_k=100, **more)


def at(degrees: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))], dtype=np.float32)


def photo(name: str, degrees: float | None, **fields: Any) -> dict[str, Any]:
    features = {} if degrees is None else {"features": {FACE: at(degrees).tolist()}}
    return {"document_id": name, **features, **fields}


async def watching(
    http: httpx.AsyncClient,
    *stages: dict[str, Any],
    mappings: Any = FROM_DOCUMENT,
    retriever: dict[str, Any] | None = None,
    **alert: Any,
) -> dict[str, str]:
    """Collections people and photos, and the alert Wanted that looks photos up; ids by name."""
    ids = {name: str((await make.collection(http, name))["collection_id"]) for name in ("people", "photos")}
    more = {"collection_identifiers": ["people"], "input_schema": SCHEMA, **(retriever or {})}
    await make.retriever(http, "faces", stages=list(stages) or [alike()], **more)
    made = await make.alert(http, "faces", "Wanted", **alert)
    ids["Wanted"] = made["alert_id"]
    application = {"alert_id": made["alert_id"], "input_mappings": mappings}
    answer = await http.patch("/v1/collections/photos", json={"alert_applications": [application]})
    assert answer.status_code == 200, answer.text
    ids["namespace"] = str((await http.get("/v1/namespaces/default")).json()["namespace_id"])
    return ids


def person(ids: dict[str, str], name: str, degrees: float, /, **fields: Any) -> DocumentEvent:
    features = {FACE: at(degrees)}
    return DocumentEvent(UPSERTED, ids["namespace"], ids["people"], name, NOW, payload=fields, features=features)


async def people(here: Context, ids: dict[str, str], count: int = 3) -> None:
    """People, ten degrees apart."""
    await store(here.database, [person(ids, f"p{n}", 10 * n, name=f"Person {n}") for n in range(count)])


async def explained(http: httpx.AsyncClient, document: dict[str, Any] | None, **body: Any) -> dict[str, Any]:
    answer = await http.post(
        "/v1/alerts/Wanted/explain", json={"collection_id": "photos", "document": document, **body}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_a_look_up_that_fires(here: Context, http: httpx.AsyncClient) -> None:
    mappings = [*FROM_DOCUMENT, {"input_key": "why", "source": {"source_type": "constant", "value": "x" * 999}}]
    where = make.filter_stage({"field": "name", "operator": "ne", "value": "Person 1"})
    ids = await watching(http, alike(), where, mappings=mappings, inputs={"who": "me"})
    await people(here, ids, 4)
    told = await explained(http, photo("a", 0))
    assert (told["matches"], told["score"], told["reason"]) == (True, 1.0, "2 results")
    assert (told["index"]["kind"], told["index"]["found"], told["later_stages"]) == ("look_up", True, [])
    looked_up = told["look_up"]
    inputs = {one["input_key"]: one for one in looked_up["inputs"]}
    assert inputs["face"] == {
        "input_key": "face",
        "source_type": "document_field",
        "path": "features.face",
        "found": True,
        "value": None,
        "dimensions": 2,
    }
    assert (inputs["city"]["source_type"], inputs["city"]["value"]) == ("default", '"Rome"')
    assert (inputs["who"]["source_type"], inputs["who"]["value"]) == ("constant", '"me"')
    assert len(inputs["why"]["value"]) == MAX_SHOWN
    assert looked_up["collections"] == [{"collection_id": ids["people"], "documents": 4}]
    assert (looked_up["position"], looked_up["document_left_out"]) == ({"0": 4}, False)
    search, kept = looked_up["stages"]
    assert (search["input_count"], search["output_count"], search["executed"]) == (4, 3, True)
    assert [(row["document_id"], row["score"]) for row in search["rows"]] == [
        ("p0", 1.0),
        ("p1", 0.984808),
        ("p2", 0.939693),
    ]
    assert (kept["stage_id"], kept["output_count"], kept["duration_ms"] >= 0) == ("attribute_filter", 2, True)
    assert [row["fields"]["name"] for row in kept["rows"]] == ['"Person 0"', '"Person 2"']
    assert told["verdict"] == {
        "fires": True,
        "reason": "2 results",
        "trigger_on": "results",
        "count": 2,
        "min_count": 1,
        "threshold": None,
    }


@pytest.mark.parametrize(
    ("alert", "degrees", "matches", "reason"),
    [
        ({}, 180, False, "no results, at least 1 wanted"),
        ({"min_count": 3}, 0, True, "3 results, at least 3 wanted"),
        ({"min_count": 4}, 0, False, "3 results, at least 4 wanted"),
        (
            {"threshold": {"field": "score", "operator": "gte", "value": 0.99}},
            0,
            True,
            "3 results; score gte 0.99",
        ),
        (
            {"threshold": {"field": "score", "operator": "gte", "value": 0.99}},
            -9,
            False,
            "2 results; not score gte 0.99 in the first",
        ),
        (
            {"threshold": {"field": "age", "operator": "gt", "value": 3}},
            0,
            False,
            "3 results; the first has no age",
        ),
        ({"trigger_on": "no_results"}, 0, False, "3 results, none wanted"),
        ({"trigger_on": "no_results"}, 180, True, "no results"),
    ],
)
async def test_why_a_look_up_fires_or_not(
    here: Context, http: httpx.AsyncClient, alert: dict[str, Any], degrees: float, matches: bool, reason: str
) -> None:
    await people(here, await watching(http, **alert))
    told = await explained(http, photo("a", degrees))
    assert (told["matches"], told["reason"]) == (matches, reason)
    assert (told["verdict"]["fires"], told["verdict"]["reason"]) == (matches, reason)
    if (threshold := told["verdict"]["threshold"]) is not None:
        assert threshold["holds"] is matches
        assert threshold["seen"] == ([] if threshold["field"] == "age" else [str(told["score"])])


async def test_what_fails_is_told_in_words(here: Context, http: httpx.AsyncClient) -> None:
    ids = await watching(http, alike(), stage("limit", limit=1))
    await people(here, ids)
    told = await explained(http, photo("a", None))
    assert (told["matches"], told["score"], told["verdict"]) == (False, None, None)
    assert told["look_up"]["error"] == "input face: it is required"
    assert told["reason"].startswith("its stages failed, which fires nothing: input face")
    assert [one["executed"] for one in told["look_up"]["stages"]] == [False, False]
    face = next(one for one in told["look_up"]["inputs"] if one["input_key"] == "face")
    assert (face["found"], face["path"]) == (False, "features.face")
    # A vector of another length is a failure of the stage.
    told = await explained(http, {"document_id": "a", "features": {FACE: [1.0, 0.0, 0.0]}})
    search, limit = told["look_up"]["stages"]
    assert search["error"] == told["look_up"]["error"]
    assert "dimensions" in search["error"]
    assert (search["executed"], limit["executed"], told["matches"]) == (True, False, False)


async def test_a_budget_that_is_used_up(here: Context, http: httpx.AsyncClient) -> None:
    await people(here, await watching(http, retriever={"budget_limits": {"max_credits": 0.001}}))
    told = await explained(http, photo("a", 0))
    assert told["look_up"]["error"].startswith("Budget exceeded: ")


HOSTILE = {
    "text": "{{INPUT.face}} {{SECRET.key}} '; DROP TABLE documents; --",
    "features.face": [float(n) for n in range(9_999)],
    "n" * 9_999: "v" * 99_999,
    "deep": {"a": [[[["x" * 999] * 99] * 9] * 9]},
    "score": "1",
    "collection_id": 7,
    "payload": {"document_id": "other"},
    **{f"field{n}": n for n in range(99)},
}


async def test_a_hostile_document(here: Context, http: httpx.AsyncClient) -> None:
    keys = ("text", "deep", "nowhere")
    mappings = [
        *FROM_DOCUMENT,
        *({"input_key": key, "source": {"source_type": "document_field", "path": key}} for key in keys),
    ]
    ids = await watching(http, alike(), mappings=mappings)
    await people(here, ids)
    told = await explained(http, {**photo("{{INPUT.face}}\n'", 0), **HOSTILE})
    assert told["document_id"] == "{{INPUT.face}}\n'"
    assert told["matches"] is True
    inputs = {one["input_key"]: one for one in told["look_up"]["inputs"]}
    assert inputs["text"]["value"].startswith('"{{INPUT.face}} {{SECRET.key}}')
    assert all(len(one["value"] or "") <= MAX_SHOWN for one in inputs.values())
    # As deep as JSON may be, and deeper.
    for depth in (200, 900, 50_000):
        raw = '{"collection_id":"photos","document":{"document_id":"a","deep":' + "[" * depth + "]" * depth + "}}"
        answer = await http.post("/v1/alerts/Wanted/explain", content=raw)
        assert answer.status_code in (200, 400, 409, 422), answer.text


async def test_rows_are_cut(here: Context, http: httpx.AsyncClient) -> None:
    ids = await watching(http)
    much = {f"field{n}": "v" * 9_999 for n in range(99)}
    await store(here.database, [person(ids, f"p{n}", 0, **much) for n in range(MAX_ROWS + 3)])
    told = await explained(http, photo("a", 0))
    (search,) = told["look_up"]["stages"]
    assert (search["output_count"], len(search["rows"])) == (MAX_ROWS + 3, MAX_ROWS)
    assert len(search["rows"][0]["fields"]) == MAX_FIELDS
    assert search["rows"][0]["more_fields"] >= 99 - MAX_FIELDS
    assert all(len(value) <= MAX_SHOWN for row in search["rows"] for value in row["fields"].values())


@pytest.mark.parametrize("name", ["p1", "{{INPUT.face}}", "{{nonsense"])
async def test_a_document_is_not_found_by_its_own_look_up(
    here: Context, http: httpx.AsyncClient, name: str
) -> None:
    ids = await watching(http)
    application = {"alert_id": ids["Wanted"], "input_mappings": FROM_DOCUMENT}
    await http.patch("/v1/collections/people", json={"alert_applications": [application]})
    await store(here.database, [person(ids, "p0", 0), person(ids, name, 0)])
    told = await explained(http, None, collection_id="people", document_id=name)
    assert told["look_up"]["document_left_out"] is True
    assert [row["document_id"] for row in told["look_up"]["stages"][0]["rows"]] == ["p0"]
    assert told["reason"] == "1 result"


ENGLISH = make.filter_stage({"field": "lang", "operator": "eq", "value": "en"})
TWICE = '{"double": {{ DOC.n * 2 }}}'
DOUBLE = stage("json_transform", template=TWICE)
ENRICH = stage("document_enrich", target_collection_id="people", source_field="who", output_field="person")


async def test_a_tail_is_run_stage_by_stage(here: Context, http: httpx.AsyncClient) -> None:
    threshold = {"field": "person.name", "operator": "eq", "value": "Person 2"}
    none: dict[str, Any] = {"collection_identifiers": [], "input_schema": {}}
    ids = await watching(
        http,
        ENGLISH,
        stage("unwind", field="tags"),
        ENRICH,
        mappings=make.CONSTANT,
        retriever=none,
        threshold=threshold,
    )
    await people(here, ids)
    told = await explained(http, {"document_id": "a", "lang": "en", "tags": ["x", "y"], "who": "p2"})
    assert (told["matches"], told["score"], told["reason"]) == (True, 1.0, 'lang eq "en"')
    assert told["later_stages"] == ["unwind", "document_enrich"]
    unwind, enrich = told["tail"]["stages"]
    assert (unwind["input_count"], unwind["output_count"]) == (1, 2)
    assert [row["fields"]["tags"] for row in unwind["rows"]] == ['"x"', '"y"']
    assert "lang" not in unwind["rows"][0]["fields"]
    assert '"Person 2"' in enrich["rows"][0]["fields"]["person"]
    assert told["verdict"]["reason"] == '2 results; person.name eq "Person 2"'
    assert told["verdict"]["threshold"]["seen"] == ['"Person 2"']
    told = await explained(http, {"document_id": "a", "lang": "en", "tags": ["x"], "who": "p1"})
    assert (told["matches"], told["verdict"]["threshold"]["seen"]) == (False, ['"Person 1"'])
    assert told["reason"] == 'its last stages leave 1 result; not person.name eq "Person 2" in the first'
    # What does not get there says why, as ever.
    told = await explained(http, {"document_id": "a", "lang": "de"})
    assert (told["matches"], told["tail"], told["verdict"]) == (False, None, None)
    assert told["reason"] == 'lang eq "en" is false, the document has "de"'


async def test_a_tail_that_fails(http: httpx.AsyncClient) -> None:
    none: dict[str, Any] = {"collection_identifiers": [], "input_schema": {}}
    failing = stage("json_transform", template=TWICE, fail_on_error=True)
    await watching(http, ENGLISH, failing, mappings=make.CONSTANT, retriever=none)
    told = await explained(http, {"document_id": "a", "lang": "en", "n": {"not": "a number"}})
    assert (told["matches"], told["verdict"]) == (False, None)
    assert told["tail"]["error"]
    assert told["reason"] == f"its stages failed, which fires nothing: {told['tail']['error']}"
    assert told["tail"]["stages"][0]["error"] == told["tail"]["error"]
    told = await explained(http, {"document_id": "a", "lang": "en", "n": 4})
    assert (told["matches"], told["tail"]["stages"][0]["rows"][0]["fields"]["double"]) == (True, "8")
    assert "n" in told["tail"]["stages"][0]["rows"][0]["removed_fields"]


async def test_a_tail_that_leaves_the_document_out_says_why(http: httpx.AsyncClient) -> None:
    none: dict[str, Any] = {"collection_identifiers": [], "input_schema": {}}
    await watching(http, ENGLISH, DOUBLE, mappings=make.CONSTANT, retriever=none)
    told = await explained(http, {"document_id": "a", "lang": "en", "n": {"not": "a number"}})
    assert (told["matches"], told["tail"]["error"]) == (False, None)
    assert told["reason"] == "its last stages leave no results, at least 1 wanted"
    assert "json_transform" in told["tail"]["warnings"][0]


async def test_without_the_attachment_it_says_what_is_missing(http: httpx.AsyncClient) -> None:
    await watching(http)
    answer = await http.post("/v1/alerts/Wanted/explain", json={"document": photo("a", 0)})
    error = refused(answer, 409, "ConflictError")
    assert places(error)[0][1] == ["path", "alert_identifier"]
    assert "Give a collection_id" in error["message"]


async def test_it_is_what_match_decides(here: Context, http: httpx.AsyncClient) -> None:
    """The same definitions and documents, by match's own percolation, look-ups and last stages in memory."""
    rng = random.Random(4)
    ids = {name: str((await make.collection(http, name))["collection_id"]) for name in ("people", "photos")}
    ids["namespace"] = str((await http.get("/v1/namespaces/default")).json()["namespace_id"])
    city = {"input_key": "city", "source": {"source_type": "document_field", "path": "city"}}
    same = make.filter_stage({"field": "city", "operator": "eq", "value": "{{INPUT.city}}"}, "same")
    count = stage("aggregate", aggregations=[{"function": "count", "field": "city", "alias": "total"}])
    ways: dict[str, tuple[list[dict[str, Any]], Any]] = {
        "near": ([alike(0.9)], FROM_DOCUMENT),
        "near_in": ([alike(0.7), same], [*FROM_DOCUMENT, city]),
        "there": ([same], [city]),
        "best": ([alike(0.5), stage("limit", limit=2)], FROM_DOCUMENT),
        "counted": ([same, count], [city]),
        "enriched": ([ENGLISH, ENRICH], make.CONSTANT),
        "unwound": ([ENGLISH, stage("unwind", field="tags")], make.CONSTANT),
        "doubled": ([ENGLISH, DOUBLE], make.CONSTANT),
    }
    rules: list[dict[str, Any]] = [
        {},
        {"min_count": 3},
        {"trigger_on": "no_results"},
        {"threshold": {"field": "score", "operator": "gte", "value": 0.95}},
        {"threshold": {"field": "total", "operator": "gt", "value": 4}},
        {"threshold": {"field": "person.city", "operator": "eq", "value": "Rome"}},
    ]
    applications = []
    for name, (stages, mappings) in ways.items():
        where = [] if mappings is make.CONSTANT else ["people"]
        await make.retriever(http, name, stages=stages, collection_identifiers=where, input_schema={})
        for number, rule in enumerate(rules):
            if mappings is make.CONSTANT and ("min_count" in rule or "trigger_on" in rule):
                continue
            made = await make.alert(http, name, f"{name} {number}", **rule)
            applications.append({"alert_id": made["alert_id"], "input_mappings": mappings})
    answer = await http.patch("/v1/collections/photos", json={"alert_applications": applications})
    assert answer.status_code == 200, answer.text

    cities = ("Rome", "rome", "Oslo", "{{INPUT.city}}", None, 7, ["Rome"])
    stored = [person(ids, f"p{n}", rng.uniform(0, 90), city=rng.choice(cities)) for n in range(25)]
    photos = []
    for n in range(12):
        fields = {"city": rng.choice(cities), "lang": rng.choice(("en", "de")), "who": f"p{rng.randrange(30)}"}
        fields |= {"tags": rng.choice(([], ["a", "b"], "c")), "n": rng.choice((1, "x", None))}
        features = {FACE: at(rng.uniform(0, 120))} if rng.random() < 0.8 else {}
        photos.append(
            DocumentEvent(
                UPSERTED, ids["namespace"], ids["photos"], f"d{n}", NOW, payload=fields, features=features
            )
        )
    await store(here.database, [*stored, *photos])

    async with here.database.connection() as connection:
        found = await select_definitions(
            connection, "d.namespace_id = %(namespace)s", {"namespace": ids["namespace"]}
        )
    records = [one.record for one in found]
    catalog = Catalog(records[0].version.epoch, 1_000_000, records)
    references = References(here.broker)
    corpus = references.corpus(ids["namespace"])
    assert isinstance(corpus, MemoryCorpus)
    for event in stored:
        corpus.apply(event)
    standing = standing_alerts(catalog, ids["namespace"], ids["photos"])
    assert len(standing.entries) == len(applications)
    assert standing.refused == ()
    compiled = Compiled()
    compiled.add(standing.alerts)
    arrivals = [Arrival("documents", 0, n, NOW, event) for n, event in enumerate(photos)]
    hasher = ExecutionHasher("epoch")
    checked = Checked(NOW, 0, 1)
    records_of = [
        record
        for arrival, hits in zip(arrivals, compiled.hits(compiled.begin(arrivals)), strict=True)
        if (record := compose(arrival, hits, checked, hasher)) is not None
    ]
    look_ups = LookUps(references, lambda: catalog, here.clock)
    try:
        undecided = [Undecided(standing, arrivals, records_of)]
        answers = await look_ups.answer(undecided, hasher, math.inf)
    finally:
        look_ups.close()
    decided = {
        (record.source_offset, hit.alert_id): (hit.score, hit.reason)
        for record in answers.records
        for hit in record.hits
    }
    seen = {True: 0, False: 0}
    for arrival in arrivals:
        for application in applications:
            body = {"collection_id": "photos", "document_id": arrival.event.document_id}
            path = f"/v1/alerts/{application['alert_id']}/explain"
            told = (await http.post(path, json=body)).json()
            fired = decided.get((arrival.offset, str(application["alert_id"])))
            seen[told["matches"]] += 1
            assert told["matches"] is (fired is not None), (told, fired)
            if fired is not None:
                assert (told["score"], told["reason"]) == fired
    assert min(seen.values()) > 50
