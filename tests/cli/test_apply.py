from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from schemas.manifest import ManifestError
from streams.api.namespaces import ensure_namespace
from streams.cli.client import ApiClient
from streams.cli.manifests import read_manifest
from streams.cli.reconcile import ApplyError, Result, apply_manifest
from streams.runtime.agent import Context
from streams.runtime.broker import Broker
from streams.runtime.database import Database
from streams.settings import Settings
from tests.api.conftest import served
from tests.cli.manifest import parse_manifest

HEALTH = Path(__file__).parents[2] / "examples" / "health"
NEWS = """
kind: collection
collection_name: news
---
kind: alert
name: Ebola
filter: {field: text, operator: text, value: ebola}
collections: [news]
notification_config:
  channels:
    - channel_type: webhook
      config: {url: "https://a.example", signing_secret: s3cret}
---
kind: cluster
cluster_name: topics
collection_ids: [news]
vector_config: {clustering_method: kmeans, kmeans_parameters: {n_clusters: 3}}
---
kind: trigger
name: nightly
action_type: cluster
action_config: {cluster_id: topics}
trigger_type: cron
schedule_config: {cron_expression: "0 2 * * *"}
"""


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[ApiClient]:
    """A client of a served API."""
    known = settings.model_copy(update={"api_key": SecretStr("sk_test")})
    async with Database(known) as database:
        await ensure_namespace(database, known.namespace)
        async with served(Context(known, Broker(known), database)) as url, ApiClient(url, "sk_test") as api:
            yield api


async def applied(client: ApiClient, text: str, **options: Any) -> list[tuple[str, str, str]]:
    results = await apply_manifest(parse_manifest(text, "m.yaml"), client, **options)
    return [(result.action, result.kind, result.name) for result in results]


ACTIONS = """
kind: retriever
retriever_name: storms
collection_identifiers: [news]
stages:
  - stage_name: filter
    config:
      stage_id: attribute_filter
      parameters: {conditions: {field: text, operator: text, value: storm}}
---
kind: trigger
name: asked after alerts
action_type: retriever_execution
action_config: {retriever_id: storms}
trigger_type: event
schedule_config: {event_type: alert_triggered, alert_id: Ebola, collection_id: news}
---
kind: trigger
name: swept
action_type: alert_evaluation
action_config: {alert_id: Ebola}
trigger_type: interval
schedule_config: {interval_seconds: 60, overlap_policy: allow_all}
---
kind: trigger
name: made again
action_type: collection_trigger
action_config: {collection_id: news, include_collections: [news]}
trigger_type: cron
schedule_config: {cron_expression: "0 2 * * *"}
"""


async def test_triggers_name_what_they_run_by_name(client: ApiClient) -> None:
    await applied(client, NEWS)
    first = await applied(client, ACTIONS)
    assert [action for action, *_ in first] == ["created"] * 4
    assert [action for action, *_ in await applied(client, ACTIONS)] == ["unchanged"] * 4


async def test_the_example_applies_once_and_then_changes_nothing(client: ApiClient) -> None:
    manifest = read_manifest([HEALTH])
    first = await apply_manifest(manifest, client)
    assert {result.action for result in first} == {"created"}
    second = await apply_manifest(manifest, client)
    assert [Result("created", result.kind, result.name, result.id) for result in second] == first
    assert {result.action for result in second} == {"unchanged"}
    collection = (await client.get("v1", "collections", "health-news")).body
    alerts = [result.id for result in first if result.kind == "alert"]
    assert [item["alert_id"] for item in collection["alert_applications"]] == alerts


async def test_what_differs_is_changed_and_what_is_fixed_is_refused(client: ApiClient) -> None:
    await applied(client, NEWS)
    changed = (
        NEWS.replace("ebola}", "zika}").replace("n_clusters: 3", "n_clusters: 5").replace('"0 2', '"0 3')
        + "description: at night\n"
    )
    assert [item for item in await applied(client, changed) if item[0] != "unchanged"] == [
        ("changed", "retriever", "Ebola retriever"),
        ("changed", "cluster", "topics"),
        ("changed", "trigger", "nightly"),
    ]
    assert {item[0] for item in await applied(client, changed)} == {"unchanged"}
    retriever = (await client.get("v1", "retrievers", "Ebola retriever")).body
    assert retriever["stages"][0]["parameters"]["conditions"]["value"] == "zika"
    with pytest.raises(ApplyError, match=r"m\.yaml: object 1 .*source cannot be changed"):
        await applied(client, "kind: collection\ncollection_name: news\nsource: {type: none}")


AUTOMATED = """
kind: collection
collection_name: watched
schedule: {trigger_type: cron, schedule_config: {cron_expression: "0 2 * * *"}}
cluster_applications: [{cluster_id: themes, min_document_threshold: 5}]
---
kind: cluster
cluster_name: themes
collection_ids: [watched]
vector_config: {clustering_method: kmeans, kmeans_parameters: {n_clusters: 3}}
"""


async def test_what_a_collection_sets_off_by_itself_is_applied_and_changed(client: ApiClient) -> None:
    assert await applied(client, AUTOMATED) == [
        ("created", "collection", "watched"),
        ("created", "cluster", "themes"),
        ("created", "cluster_application", "themes on watched"),
    ]
    assert {action for action, *_ in await applied(client, AUTOMATED)} == {"unchanged"}
    changed = AUTOMATED.replace("0 2 *", "0 3 *").replace("threshold: 5", "threshold: 7")
    assert [item for item in await applied(client, changed) if item[0] != "unchanged"] == [
        ("changed", "collection", "watched"),
        ("changed", "cluster_application", "themes on watched"),
    ]
    assert {action for action, *_ in await applied(client, changed)} == {"unchanged"}
    shown = (await client.get("v1", "collections", "watched")).body
    assert shown["schedule"]["schedule_config"]["cron_expression"] == "0 3 * * *"
    assert shown["cluster_applications"][0]["min_document_threshold"] == 7
    # What a file leaves out is left as it is.
    assert await applied(client, "kind: collection\ncollection_name: watched") == [
        ("unchanged", "collection", "watched")
    ]
    with pytest.raises(ApplyError, match=r"cluster_application 'watched': there is no cluster 'nothing'"):
        await applied(client, AUTOMATED.replace("cluster_id: themes", "cluster_id: nothing"))


async def test_secrets_are_sent_again_only_when_asked(client: ApiClient) -> None:
    await applied(client, NEWS)
    rotated = NEWS.replace("s3cret", "other")
    assert {item[0] for item in await applied(client, rotated)} == {"unchanged"}
    again = await applied(client, rotated, resend_secrets=True)
    assert [item for item in again if item[0] != "unchanged"] == [("changed", "alert", "Ebola")]
    moved = await applied(client, rotated.replace("a.example", "b.example"))
    assert [item for item in moved if item[0] != "unchanged"] == [("changed", "alert", "Ebola")]


async def test_secrets_of_a_trigger_are_compared_as_they_are_shown(client: ApiClient) -> None:
    await applied(client, NEWS)
    told = ACTIONS.replace(
        "action_config: {retriever_id: storms}",
        "action_config: {retriever_id: storms, notification_config: {channels: [{channel_type: webhook,"
        ' config: {url: "https://a.example", signing_secret: s3cret}}]}}',
    )
    await applied(client, told)
    assert {action for action, *_ in await applied(client, told)} == {"unchanged"}
    with pytest.raises(ApplyError, match="action_config cannot be changed"):
        await applied(client, told.replace("a.example", "b.example"))


async def test_an_error_names_the_object_and_the_server_and_keeps_what_was_before(client: ApiClient) -> None:
    text = (
        "kind: collection\ncollection_name: news\n---\n"
        "kind: alert\nname: A\nretriever: {stages: [{stage_name: s, config: {stage_id: limit}}]}\n"
        "collections: [news]\n"
    )
    with pytest.raises(ApplyError, match=r"m\.yaml: object 2 \(line 4\): attachment 'news': .*every document"):
        await applied(client, text)
    assert (await client.get("v1", "collections", "news")).body["alert_applications"] is None
    with pytest.raises(ApplyError, match="there is no retriever 'nope'"):
        await applied(client, "kind: alert\nname: B\nretriever_id: nope")


async def test_attachments_of_a_collection_are_made_together_or_not_at_all(client: ApiClient) -> None:
    def several(wrong: int | None) -> str:
        text = "kind: collection\ncollection_name: news\n---\nkind: collection\ncollection_name: more\n"
        for number in range(6):
            ask = "min_count: 2" if number == wrong else "min_count: 1"
            text += (
                f"---\nkind: alert\nname: A{number}\nfilter: {{a: {number}}}\n{ask}\ncollections: [news, more]\n"
            )
        return text

    async def attached(collection: str) -> list[str]:
        found = (await client.get("v1", "collections", collection)).body["alert_applications"] or []
        return [(await client.get("v1", "alerts", item["alert_id"])).body["name"] for item in found]

    with pytest.raises(ApplyError, match=r"m\.yaml: object 6 .*attachment 'news': .*min_count 2") as refused:
        await applied(client, several(wrong=3))
    assert "'A3' (alt_" in str(refused.value)
    assert "neither are the other 5 of the manifest" in str(refused.value)
    assert "apply it again" in str(refused.value)
    assert await attached("news") == await attached("more") == []
    done = await applied(client, several(wrong=None))
    assert [item for item in done if item[0] != "unchanged"] == [
        ("changed", "alert", "A3"),
        *(("created", "attachment", f"A{number} on news") for number in range(6)),
        *(("created", "attachment", f"A{number} on more") for number in range(6)),
    ]
    assert await attached("news") == await attached("more") == [f"A{number}" for number in range(6)]
    assert {item[0] for item in await applied(client, several(wrong=None))} == {"unchanged"}


async def test_a_deleted_trigger_is_made_anew(client: ApiClient) -> None:
    await applied(client, NEWS)
    (first,) = (await client.call("POST", "/v1/triggers/list", {})).body["results"]
    await client.call("DELETE", f"/v1/triggers/{first['trigger_id']}")
    assert ("created", "trigger", "nightly") in await applied(client, NEWS)
    results = (await client.call("POST", "/v1/triggers/list", {"status": "active"})).body["results"]
    assert [item["trigger_id"] for item in results] != [first["trigger_id"]]


def test_files_of_every_shape(tmp_path: Path) -> None:
    one, two = {"kind": "collection", "collection_name": "one"}, {"kind": "collection", "collection_name": "two"}
    (tmp_path / "a.yaml").write_text("---\n" + NEWS.split("---")[0] + "---\n\n---\nkind: x\nday: 2014-10-01\n")
    (tmp_path / "b.jsonl").write_bytes(orjson.dumps(one) + b"\n\n" + orjson.dumps(two) + b"\n")
    (tmp_path / "c.json").write_bytes(orjson.dumps([one, two]))
    (tmp_path / "readme.md").write_text("not a manifest")
    found = read_manifest([str(tmp_path)])
    assert [item.content.get("collection_name") for item in found] == ["news", None, "one", "two", "one", "two"]
    # A date is text, as it would be in JSON.
    assert found[1].content["day"] == "2014-10-01"
    places = [(Path(item.place.file).name, item.place.number) for item in found]
    assert places == [("a.yaml", 1), ("a.yaml", 2), ("b.jsonl", 1), ("b.jsonl", 2), ("c.json", 1), ("c.json", 2)]
    assert found[3].place.line == 3
    with pytest.raises(FileNotFoundError):
        read_manifest([tmp_path / "missing.yaml"])


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("kind: a\n---\nkind: [\n", "line 4"),
        ("kind: a\nkind: b\n", "line 2"),
        ('{"kind": 1}\n{"kind"\n', "line 2"),
        ("!!python/object:os.system {}\n", "line 1"),
    ],
)
def test_a_text_that_is_no_manifest_names_the_line(text: str, where: str) -> None:
    with pytest.raises(ManifestError, match=where):
        parse_manifest(text, "m")


@pytest.mark.parametrize(
    ("stage_id", "words"),
    [("rerank", "rerank needs a hosted model"), ("nope", "Unknown stage 'nope'")],
)
async def test_a_stage_that_cannot_run_is_said_with_its_file(client: ApiClient, stage_id: str, words: str) -> None:
    text = f"""
kind: retriever
retriever_name: r
stages: [{{stage_name: s, config: {{stage_id: {stage_id}}}}}]
"""
    with pytest.raises(ApplyError, match=words) as caught:
        await applied(client, text)
    assert "m.yaml: " in str(caught.value)


TOPICS = """
kind: retriever
retriever_name: enriching
stages:
  - {stage_name: who, config: {stage_id: taxonomy_enrich, parameters: {taxonomy_id: topics}}}
  - {stage_name: join, config: {stage_id: document_enrich, parameters: {target_collection_id: codes}}}
---
kind: taxonomy
taxonomy_name: topics
description: by code
config:
  retriever_id: by code
  input_mappings: [{input_key: code, source_type: payload}]
  source_collection: {collection_id: codes}
---
kind: retriever
retriever_name: by code
collection_identifiers: [codes]
stages:
  - stage_name: s
    config:
      stage_id: attribute_filter
      parameters: {conditions: {field: code, operator: eq, value: "{{INPUT.code}}"}}
---
kind: collection
collection_name: codes
"""


async def test_taxonomies_are_made_between_the_retrievers_they_name_and_those_that_name_them(
    client: ApiClient,
) -> None:
    kinds = [
        ("collection", "codes"),
        ("retriever", "by code"),
        ("taxonomy", "topics"),
        ("retriever", "enriching"),
    ]
    assert await applied(client, TOPICS) == [("created", *item) for item in kinds]
    assert await applied(client, TOPICS) == [("unchanged", *item) for item in kinds]
    changed = await applied(client, TOPICS.replace("by code\nconfig", "by the code\nconfig"))
    assert [item for item in changed if item[0] != "unchanged"] == [("changed", "taxonomy", "topics")]
    assert (await client.get("v1", "taxonomies", "topics")).body["description"] == "by the code"
    with pytest.raises(ApplyError, match=r"taxonomy 'topics': config cannot be changed"):
        await applied(client, TOPICS.replace("source_type: payload", "source_type: payload, path: c"))
