"""``tidewatch explain`` from files."""

import gzip
from pathlib import Path

import orjson

from tests.cli.processes import tidewatch

ALERTS = """
kind: alert
name: "[flu] in English"
filter: {AND: [{lang: en}, {field: text, operator: text, value: flu}]}
---
kind: alert
name: broken
filter: {a: 1}
min_count: 2
---
kind: alert
name: news only
filter: {lang: en}
collections: [news]
---
kind: alert
name: tags
retriever:
  stages:
  - {stage_name: english, config: {stage_id: attribute_filter, parameters: {conditions: {lang: en}}}}
  - {stage_name: split, config: {stage_id: unwind, parameters: {field: tags}}}
  - {stage_name: kept, config: {stage_id: attribute_filter, parameters: {conditions: {tags: "[b]"}}}}
"""
LOOK_UP = """
kind: retriever
retriever_name: faces
collection_identifiers: [people]
stages:
- stage_name: alike
  config:
    stage_id: attribute_filter
    parameters: {conditions: {field: name, operator: eq, value: "{{INPUT.name}}"}}
---
kind: alert
name: wanted
retriever_id: faces
---
kind: collection
collection_name: photos
alert_applications:
- alert_id: wanted
  input_mappings: [{input_key: name, source: {source_type: document_field, path: name}}]
"""


def test_it_explains_from_files_as_a_tree_and_as_json(tmp_path: Path) -> None:
    definitions, documents = tmp_path / "a.yaml", tmp_path / "d.jsonl.gz"
    definitions.write_text(ALERTS)
    documents.write_bytes(gzip.compress(b'{"lang": "en", "text": "flu"}\n{"lang": "de", "text": "flu [b]"}\n'))
    name = "[flu] in English"
    shown = tidewatch("explain", str(definitions), name, str(documents), "--line", "2").stdout.decode()
    assert f'{name} does not match 2: lang eq "en" is false, the document has "de"' in shown
    assert 'true  text text "flu"   saw "flu [b]"' in shown
    assert "index: ruled out by" in shown
    answer = tidewatch("explain", str(definitions), name, str(documents), "--line", "1", "--json")
    told = orjson.loads(answer.stdout)
    assert (told["alert"], told["document_id"], told["matches"], told["score"]) == (name, "1", True, 1.0)
    assert [part["holds"] for part in told["conditions"]["parts"]] == [True, True]
    one = tidewatch("explain", str(definitions), name, "-", "--json", stdin=b'{\n "lang": "en",\n "text": "x"}')
    assert orjson.loads(one.stdout)["matches"] is False


def test_last_stages_are_run(tmp_path: Path) -> None:
    definitions, document = tmp_path / "a.yaml", tmp_path / "d.json"
    definitions.write_text(ALERTS)
    document.write_text('{"lang": "en", "tags": ["[b]", "c"]}')
    shown = tidewatch("explain", str(definitions), "tags", str(document)).stdout.decode()
    assert 'tags matches 1: lang eq "en"' in shown
    assert "then split left 2" in shown
    assert 'tags="[b]"' in shown
    assert "then kept left 1" in shown
    assert "true  1 result" in shown
    document.write_text('{"lang": "en", "tags": ["c"]}')
    told = orjson.loads(tidewatch("explain", str(definitions), "tags", str(document), "--json").stdout)
    assert (told["matches"], told["verdict"]["count"]) == (False, 0)
    assert told["reason"] == "its last stages leave no results, at least 1 wanted"


def test_a_look_up_is_for_a_running_system(tmp_path: Path) -> None:
    definitions, document = tmp_path / "a.yaml", tmp_path / "d.json"
    definitions.write_text(LOOK_UP)
    document.write_text('{"name": "Ann"}')
    for command in (
        ("explain", str(definitions), "wanted", str(document)),
        ("check", str(definitions), str(document)),
    ):
        answer = tidewatch(*command)
        said = " ".join(answer.stderr.decode().split())
        assert "alert 'wanted' looks documents up in other collections" in said
        assert "POST /v1/alerts/{alert}/explain" in said
        assert answer.returncode == 1


def test_what_cannot_be_explained_is_said(tmp_path: Path) -> None:
    definitions, document = tmp_path / "a.yaml", tmp_path / "d.json"
    definitions.write_text(ALERTS)
    event = {"type": "document.upserted", "collection_id": "old", "payload": {"lang": "en"}}
    document.write_bytes(orjson.dumps(event))
    several = tmp_path / "several.jsonl"
    several.write_text("{}\n{}\n")
    for alert, given, options, problem in (
        ("nobody", document, (), "there is no alert 'nobody'"),
        ("broken", document, (), "min_count 2 needs other documents"),
        ("news only", document, (), "'news only' is for news, not for documents of old"),
        ("news only", several, (), "choose one by --line"),
        ("news only", several, ("--line", "7"), "has no line 7"),
        ("news only", tmp_path / "none", (), "No such file"),
    ):
        answer = tidewatch("explain", str(definitions), alert, str(given), *options)
        assert answer.returncode == 1
        assert problem in answer.stderr.decode()
