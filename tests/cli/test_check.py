"""``tidewatch check`` gives what plain evaluation of every alert on every document gives."""

import gzip
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from schemas.events.document import UPSERTED, DocumentEvent, encode_document_event
from schemas.manifest import GENERATED, ManifestError
from streams.cli.check_definitions import CheckedAlert, read_alerts
from streams.cli.check_documents import read_document
from streams.cli.check_run import CheckRun, Summary
from streams.cli.manifests import read_manifest
from streams.cli.process import CommandError
from streams.engines.retrieval.percolate.reference import check as plain
from tests.cli.manifest import parse_manifest
from tests.cli.processes import tidewatch

NOW = datetime(2024, 5, 1, tzinfo=UTC)
WORDS = ("flu", "Flu", "shot", "rain", "storm", "a.b", "2024-01-01", "ß", "SS", "")
URI = "mixpeek://passthrough_extractor@v1/embedding"


def leaf(chance: random.Random) -> dict[str, Any]:
    operator = chance.choice(["eq", "ne", "in", "contains", "starts_with", "gt", "lte", "text", "exists"])
    value: Any = chance.choice([*WORDS, 1, 2.5])
    if operator in ("contains", "starts_with", "text"):
        value = chance.choice(WORDS)
    elif operator == "in":
        value = chance.sample(WORDS, 2)
    elif operator == "exists":
        value = chance.random() < 0.5
    return {"field": chance.choice(["text", "tag", "n", "deep.x"]), "operator": operator, "value": value}


def alert(chance: random.Random, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": "alert", "name": f'alert {number} ☃ "{chance.choice(WORDS)}"'}
    leaves = [leaf(chance) for _ in range(chance.randint(1, 3))]
    tree = {chance.choice(["AND", "OR", "NOT"]): leaves}
    kind = chance.randrange(4)
    if kind < 3:
        found["filter"] = tree
    if kind >= 2:
        found["query"] = {
            "feature_uri": URI,
            "vector": [chance.uniform(-1, 1) for _ in range(3)],
            "min_score": 0.5,
        }
    return found


def document(chance: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {"text": " ".join(chance.choices(WORDS, k=4)), "n": chance.choice([1, 2, 3.5, None])}
    if chance.random() < 0.5:
        found["tag"] = chance.choices(WORDS, k=2)
    if chance.random() < 0.3:
        found["deep"] = [{"x": chance.choice(WORDS)}, {"x": 2}]
    return found


def lines(chance: random.Random, count: int) -> list[bytes]:
    """Plain documents, named and not, and events with vectors."""
    found = []
    for number in range(count):
        raw = document(chance)
        if number % 3 == 0:
            raw["document_id"] = f"d{number}"
        if number % 3 == 1:
            vector = [chance.uniform(-1, 1) for _ in range(3)]
            raw = {"type": UPSERTED, "document_id": f"e/{number}", "payload": raw, "features": {URI: vector}}
        found.append(orjson.dumps(raw))
    return found


def wanted(alerts: list[CheckedAlert], text: list[bytes]) -> list[dict[str, Any]]:
    found = []
    for number, line in enumerate(text, 1):
        event = read_document(line, number, NOW)
        if event is None:
            continue
        verdicts = [(item.name, plain(item.plan, event)) for item in alerts]
        matches = [{"alert": name, "score": verdict.score} for name, verdict in verdicts if verdict is not None]
        if matches:
            found.append({"document_id": event.document_id, "matches": matches})
    return found


def run(definitions: Path, documents: Path, **options: Any) -> tuple[Summary, list[dict[str, Any]]]:
    parts: list[bytes] = []
    summary = CheckRun(str(definitions), str(documents), NOW, **options).run(parts.append)
    return summary, [orjson.loads(line) for line in b"".join(parts).splitlines()]


def written(path: Path, objects: list[dict[str, Any]]) -> Path:
    path.write_bytes(b"\n".join(orjson.dumps(item) for item in objects))
    return path


@pytest.mark.parametrize("seed", range(3))
def test_every_answer_is_that_of_plain_evaluation(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    definitions = written(tmp_path / "alerts.jsonl", [alert(chance, number) for number in range(200)])
    text = lines(chance, 1_200)
    documents = tmp_path / "documents.jsonl"
    documents.write_bytes(b"\n".join(text))
    alerts = read_alerts(read_manifest([definitions]))
    expected = wanted(alerts, text)
    summary, found = run(definitions, documents)
    assert found == expected
    assert summary.documents == len(text)
    assert summary.alerts == len(alerts) == 200
    assert summary.matches == sum(len(item["matches"]) for item in expected) > 1_000
    assert any(hit["score"] < 1.0 for item in expected for hit in item["matches"])
    assert summary.documents_per_second > 0
    assert summary.peak_memory_bytes > 1_000_000


def test_gzip_yaml_and_json_lines_are_read_alike(tmp_path: Path) -> None:
    chance = random.Random(9)
    objects = [alert(chance, number) for number in range(30)]
    text = lines(chance, 100)
    plain_documents, packed = tmp_path / "d.jsonl", tmp_path / "d.jsonl.gz"
    plain_documents.write_bytes(b"\n".join(text) + b"\n\n")
    packed.write_bytes(gzip.compress(b"\n".join(text)))
    definitions = written(tmp_path / "a.jsonl", objects)
    _, expected = run(definitions, plain_documents)
    as_yaml, as_gzip = tmp_path / "a.yaml", tmp_path / "b.jsonl.gz"
    as_yaml.write_text(yaml.safe_dump_all(objects, allow_unicode=True))
    as_gzip.write_bytes(gzip.compress(definitions.read_bytes()))
    for other in (as_yaml, as_gzip):
        assert run(other, packed)[1] == expected


def test_an_alert_finds_its_retriever_wherever_it_is_written_and_its_inputs_where_it_is_attached(
    tmp_path: Path,
) -> None:
    def attached(alert_id: str, value: str) -> dict[str, Any]:
        mapping = {"input_key": "word", "source": {"source_type": "constant", "value": value}}
        return {"alert_id": alert_id, "input_mappings": [mapping]}

    conditions = {"field": "text", "operator": "eq", "value": "{{INPUT.word}}"}
    stage = {
        "stage_name": "s",
        "config": {"stage_id": "attribute_filter", "parameters": {"conditions": conditions}},
    }
    objects: list[dict[str, Any]] = [
        {"kind": "alert", "name": "by name", "retriever_id": "word", "inputs": {"word": "rain"}},
        {"kind": "alert", "name": "attached", "retriever_id": "word"},
        {"kind": "alert", "name": "news only", "filter": {"n": 1}, "collections": ["news"], "enabled": False},
        {
            "kind": "retriever",
            "retriever_name": "word",
            "stages": [stage],
            "input_schema": {"word": {"type": "text"}},
        },
        {"kind": "collection", "collection_name": "news", "alert_applications": [attached("attached", "storm")]},
        {"kind": "collection", "collection_name": "old", "alert_applications": [attached("attached", "rain")]},
    ]
    definitions = written(tmp_path / "a.jsonl", objects)

    def event(name: str, collection: str, **payload: Any) -> dict[str, Any]:
        ids = {"namespace_id": "ns", "document_id": name, "collection_id": collection}
        return {"type": UPSERTED, **ids, "payload": payload}

    documents = written(
        tmp_path / "d.jsonl",
        [
            {"text": "rain", "n": 1},
            {"text": "storm"},
            event("in news", "news", text="storm", n=1),
            event("in old", "old", text="storm", n=1),
            event("old rain", "old", text="rain"),
            {"type": "document.deleted", "collection_id": "news", "document_id": "gone"},
            {"type": ["no event"], "text": "rain"},
        ],
    )
    summary, found = run(definitions, documents)
    assert [(item["document_id"], [hit["alert"] for hit in item["matches"]]) for item in found] == [
        ("1", ["by name", "attached", "news only"]),
        ("2", ["attached"]),
        ("in news", ["attached", "news only"]),
        ("old rain", ["by name", "attached"]),
        ("7", ["by name", "attached"]),
    ]
    assert (summary.alerts, summary.documents) == (3, 6)


def test_stages_that_change_the_document_run_on_those_that_match_so_far(tmp_path: Path) -> None:
    def stage(stage_id: str, **parameters: Any) -> dict[str, Any]:
        return {"stage_id": stage_id, "parameters": parameters}

    stages = [
        stage("attribute_filter", conditions={"lang": "en"}),
        stage("unwind", field="items"),
        stage("attribute_filter", conditions={"field": "items", "operator": "gte", "value": 3}),
    ]
    join = stage("document_enrich", target_collection_id="others", source_field="a", target_field="b")
    alert: dict[str, Any] = {"kind": "alert", "name": "a", "retriever": {"stages": stages}}
    definitions = written(tmp_path / "a.jsonl", [alert])
    documents = written(
        tmp_path / "d.jsonl", [{"lang": "en", "items": [1, 5]}, {"lang": "en", "items": [1]}, {"items": [5]}]
    )
    summary, found = run(definitions, documents)
    assert found == [{"document_id": "1", "matches": [{"alert": "a", "score": 1.0}]}]
    assert summary.matches == 1
    written(definitions, [{**alert, "retriever": {"stages": [stages[0], join]}}])
    with pytest.raises(CommandError, match="reads other collections"):
        run(definitions, documents)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"filter": {"a": 1}, "min_count": 3}, "min_count 3 needs other documents"),
        ({"filter": {"field": "a", "operator": "regex", "value": "("}}, "regex takes"),
        ({"filter": {"a": 1}, "trigger_on": "no_results"}, "no_results cannot be told"),
        ({"retriever_id": "nowhere"}, "there is no retriever 'nowhere'"),
    ],
)
def test_an_alert_that_cannot_be_checked_is_named_with_its_place(
    tmp_path: Path, wrong: dict[str, Any], problem: str
) -> None:
    good = {"kind": "alert", "name": "good", "filter": {"a": 1}}
    definitions = written(tmp_path / "a.jsonl", [good, {"kind": "alert", "name": "bad", **wrong}])
    documents = written(tmp_path / "d.jsonl", [{"a": 1}])
    with pytest.raises(CommandError) as refused:
        run(definitions, documents)
    assert f"{definitions}: object 2 (line 2): alert 'bad'" in str(refused.value)
    assert problem in str(refused.value)
    warnings: list[str] = []
    summary, found = run(definitions, documents, skip_bad=tmp_path / "bad", warn=warnings.append)
    assert (summary.alerts, summary.skipped_alerts, len(found)) == (1, 1, 1)
    assert problem in warnings[0]


def test_a_name_that_leaves_no_room_for_that_of_its_retriever_is_refused() -> None:
    def read(length: int) -> list[CheckedAlert]:
        return read_alerts(
            parse_manifest(f'{{"kind": "alert", "name": "{"n" * length}", "filter": {{"x": 1}}}}', "a.json")
        )

    assert len(read(200 - len(GENERATED))) == 1
    with pytest.raises(ManifestError, match=r"retriever_name: .*200 characters"):
        read(201 - len(GENERATED))


def test_the_same_name_twice_is_an_error() -> None:
    text = '{"kind": "alert", "name": "a", "filter": {"x": 1}}\n' * 2
    with pytest.raises(ManifestError, match=r"object 2 \(line 2\): .*'a.*' is defined already in .*object 1"):
        read_alerts(parse_manifest(text, "a.jsonl"))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"{", "not JSON"),
        (b"[1]", "is a JSON object"),
        (b'{"document_id": ""}', "document_id must be"),
        (b'{"document_id": [1]}', "document_id must be"),
        (b'{"type": "document.upserted", "features": {"mixpeek://a@v1/e": ["x"]}}', "numbers only"),
        (b'{"features": {"mixpeek://a@v1/e": {"f32": "!"}}}', "not base64"),
        (b"[" * 2_000, "not JSON"),
        (b'{"a": ' * 70 + b"1" + b"}" * 70, "nested deeper"),
    ],
)
def test_a_bad_line_is_named_and_can_be_kept(tmp_path: Path, line: bytes, problem: str) -> None:
    definitions = written(tmp_path / "a.jsonl", [{"kind": "alert", "name": "a", "filter": {"x": 1}}])
    documents, kept = tmp_path / "d.jsonl", tmp_path / "bad.jsonl"
    documents.write_bytes(b'{"x": 1}\n\n' + line + b'\n{"x": 1}\n')
    with pytest.raises(CommandError, match=rf"d\.jsonl line 3: .*{problem}"):
        run(definitions, documents)
    summary, found = run(definitions, documents, skip_bad=kept)
    assert [item["document_id"] for item in found] == ["1", "4"]
    assert (summary.documents, summary.skipped_lines) == (2, 1)
    assert kept.read_bytes() == line + b"\n"


def test_our_own_events_are_read_as_match_reads_them() -> None:
    event = DocumentEvent(UPSERTED, "ns", "col", "d/1", NOW, payload={"a": [1]}, text="t", event_id="e")
    assert read_document(encode_document_event(event), 5, NOW) == event
    other = read_document(b'{"type":"document.upserted","a":1,"type":"x"}', 5, NOW)
    assert other is not None
    assert (other.document_id, other.payload) == ("5", {"type": "x", "a": 1})


def test_the_command_writes_matches_and_one_line_of_json(tmp_path: Path) -> None:
    definitions = tmp_path / "a.yaml"
    definitions.write_text("kind: alert\nname: a\nfilter: {x: 1}\n")
    piped = tidewatch("check", str(definitions), "-", stdin=b'{"x": 1}\n{"x": 2}\n')
    line = b'{"document_id":"1","matches":[{"alert":"a","score":1.0}]}\n'
    assert (piped.returncode, piped.stdout) == (0, line)
    assert b"2 documents, 1 alerts: 1 matches" in piped.stderr
    documents, out = tmp_path / "d.jsonl.gz", tmp_path / "out.jsonl"
    documents.write_bytes(gzip.compress(b'{"x": 1}\n{"x": 2}\n'))
    told = tidewatch("check", str(definitions), str(documents), "--out", str(out), "--json")
    summary = orjson.loads(told.stdout)
    assert out.read_bytes() == line
    assert (summary["documents"], summary["alerts"], summary["matches"]) == (2, 1, 1)
    assert {"compile_seconds", "match_seconds", "documents_per_second", "peak_memory_bytes"} <= summary.keys()
    silent = tidewatch("check", str(definitions), str(documents), "--json")
    assert orjson.loads(silent.stdout)["matches"] == 1
    documents.write_bytes(gzip.compress(b'{"x": 1}\n{"x": 2}\n')[:-9])
    for arguments in ((str(definitions), str(documents)), (str(definitions), str(tmp_path / "none")), ("-", "-")):
        failed = tidewatch("check", *arguments)
        assert failed.returncode in (1, 2)
        assert failed.stderr.startswith(b"error: ")


@pytest.mark.parametrize("declared_first", [True, False])
@pytest.mark.parametrize("form", ["query", "retriever"])
def test_a_query_of_the_wrong_size_is_refused(declared_first: bool, form: str) -> None:
    fields = [{"field": "v", "name": "embedding", "dimensions": 3, "distance": "cosine"}]
    extractor = {
        "feature_extractor_name": "passthrough_extractor",
        "version": "v1",
        "parameters": {"vector_fields": fields},
    }
    collection = {"kind": "collection", "collection_name": "news", "feature_extractor": extractor}

    def read(vector: list[int], collections: list[str]) -> list[CheckedAlert]:
        search = {"feature_uri": URI, "query": vector, "min_score": 0.5}
        stage = {
            "stage_name": "s",
            "config": {"stage_id": "feature_search", "parameters": {"searches": [search]}},
        }
        asked: dict[str, Any] = {"query": {"feature_uri": URI, "vector": vector, "min_score": 0.5}}
        if form == "retriever":
            asked = {"retriever": {"stages": [stage]}}
        alert = {"kind": "alert", "name": "a", "collections": collections, **asked}
        objects = [collection, alert] if declared_first else [alert, collection]
        return read_alerts(parse_manifest("\n".join(orjson.dumps(item).decode() for item in objects), "a.jsonl"))

    assert len(read([1, 0, 0], ["news"])) == 1
    assert len(read([1, 0], ["other"])) == 1
    with pytest.raises(
        ManifestError, match=r"stages\[0\]\.config\.parameters\.searches\[0\]\.query.*3 dimensions"
    ):
        read([1, 0], ["news"])
    with pytest.raises(ManifestError, match="not 2"):
        read([1, 0], [])
