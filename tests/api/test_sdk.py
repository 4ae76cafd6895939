"""The official SDK, unchanged, against a served API: what its users do in their first hour."""

import asyncio
from typing import Any

import mixpeek as official
import orjson
import pytest

from streams.api.namespaces import ensure_namespace
from streams.runtime.agent import Context
from tests.api.conftest import KEY, served
from tests.api.make import CONSTANT, EBOLA, UNCONFIGURED, filter_stage

mixpeek: Any = official  # its models are generated with every field optional


def first_hour(url: str) -> None:
    configuration = mixpeek.Configuration(host=url, access_token=KEY)
    configuration.api_key["NamespaceHeader"] = "desk"
    with mixpeek.ApiClient(configuration) as client:
        namespaces = mixpeek.NamespacesApi(client)
        namespace = namespaces.create_namespace(mixpeek.CreateNamespaceRequest(namespace_name="desk"))
        assert namespaces.get_namespace("desk").namespace_id == namespace.namespace_id

        collections = mixpeek.CollectionsApi(client)
        source = {"type": "direct_upsert"}
        body = mixpeek.CreateCollectionRequest.from_dict({"collection_name": "news", "source": source})
        news = collections.create_collection(body)
        assert collections.get_collection("news").collection_id == news.collection_id

        retrievers = mixpeek.RetrieversApi(client)
        request = mixpeek.CreateRetrieverRequest.from_dict(
            {"retriever_name": "ebola", "collection_identifiers": ["news"], "stages": [filter_stage(EBOLA)]}
        )
        retriever = retrievers.create_retriever(request)
        assert retrievers.get_retriever(retriever.retriever_id).collection_ids == [news.collection_id]
        patch = mixpeek.PatchRetrieverRequest(description="d")
        assert retrievers.patch_retriever("ebola", patch).retriever.version == 2
        assert retrievers.list_retrievers().total == 1

        alerts = mixpeek.AlertsApi(client)
        wanted = {"name": "Ebola", "retriever_id": "ebola", "notification_config": UNCONFIGURED}
        alert = alerts.create_alert(mixpeek.CreateAlertRequest.from_dict(wanted))
        assert alert.retriever_id == retriever.retriever_id
        attached = {"alert_applications": [{"alert_id": alert.alert_id, "input_mappings": CONSTANT}]}
        changed = collections.update_collection("news", attached)
        assert changed.alert_applications[0].alert_id == alert.alert_id
        assert alerts.list_alerts_0().total_count == alerts.list_alerts().total_count == 1
        with pytest.raises(mixpeek.exceptions.ConflictException) as caught:
            alerts.create_alert(mixpeek.CreateAlertRequest.from_dict(wanted))
        assert caught.value.status == 409
        assert orjson.loads(caught.value.body)["error"]["type"] == "AlreadyExistsError"

        clusters = mixpeek.ClustersApi(client)
        config = {"feature_uris": ["mixpeek://hashing@v1/words"], "clustering_method": "kmeans"}
        cluster = clusters.create_cluster(
            mixpeek.CreateClusterRequest.from_dict(
                {
                    "collection_ids": ["news"],
                    "cluster_name": "topics",
                    "cluster_type": "vector",
                    "vector_config": config,
                }
            )
        )
        assert clusters.get_cluster("topics").cluster_id == cluster.cluster_id
        asked = mixpeek.ExecuteClusterByIdRequest(mode="full", sample_size=1_000)
        runs = [clusters.execute_clustering_clusters("topics", asked) for _ in range(2)]
        run_id = runs[0].additional_data["run_id"]
        canceled = mixpeek.ClusterExecutionsApi(client).cancel_execution_clusters_id_run("topics", run_id)
        assert canceled["status"] == "canceled"
        assert mixpeek.TasksApi(client).kill_task(runs[1].task_id).message == "Task canceled"
        assert {mixpeek.TasksApi(client).get_task(run.task_id).status for run in runs} == {"CANCELED"}

        taxonomies = mixpeek.TaxonomiesApi(client)
        flat = {
            "taxonomy_type": "flat",
            "retriever_id": "ebola",
            "input_mappings": [{"input_key": "text", "source_type": "payload", "path": "text"}],
            "source_collection": {"collection_id": "news"},
        }
        wanted = {"taxonomy_name": "topics", "config": flat}
        taxonomy = taxonomies.create_taxonomy_taxonomies(mixpeek.CreateTaxonomyRequest.from_dict(wanted))
        assert taxonomy.config.actual_instance.source_collection.collection_id == news.collection_id
        nodes = [{"collection_id": news.collection_id, "label": "News"}]
        tree = {**flat, "taxonomy_type": "hierarchical", "hierarchical_nodes": nodes}
        del tree["source_collection"]
        wanted = {"taxonomy_name": "tree", "config": tree}
        taxonomies.create_taxonomy_taxonomies(mixpeek.CreateTaxonomyRequest.from_dict(wanted))
        shown = taxonomies.get_taxonomy_taxonomies("tree")
        assert [node.label for node in shown.config.actual_instance.hierarchical_nodes] == ["News"]
        assert (
            taxonomies.patch_taxonomy_taxonomies(
                "topics", mixpeek.PatchTaxonomyRequest(description="d")
            ).description
            == "d"
        )
        assert taxonomies.list_taxonomies().total_count == taxonomies.list_taxonomies_0().total_count == 2
        # Its models of stages send placeholders for what is not given.
        enrich = mixpeek.StageParamsTaxonomyEnrich(taxonomy_id=taxonomy.taxonomy_id).to_dict()
        join = mixpeek.StageParamsDocumentEnrich(retriever_id="ebola").to_dict()
        assert join["target_collection_id"] == "{{COLLECTION_ID}}"
        enriching = {
            "retriever_name": "enriching",
            "stages": [
                {"stage_name": name, "config": {"stage_id": name, "parameters": parameters}}
                for name, parameters in (("taxonomy_enrich", enrich), ("document_enrich", join))
            ],
        }
        retrievers.create_retriever(mixpeek.CreateRetrieverRequest.from_dict(enriching))
        with pytest.raises(mixpeek.exceptions.BadRequestException):
            taxonomies.delete_taxonomy_taxonomies("topics")
        taxonomies.delete_taxonomy_taxonomies("tree")

        triggers = mixpeek.TriggersApi(client)
        trigger = triggers.create_trigger(
            mixpeek.SharedTriggersModelsCreateTriggerRequest(
                action_type="cluster",
                action_config={"cluster_id": "topics"},
                trigger_type="interval",
                schedule_config={"interval_seconds": 60},
            )
        )
        assert triggers.get_trigger(trigger.trigger_id).is_overdue is False
        assert triggers.pause_trigger(trigger.trigger_id).status == "paused"
        assert triggers.resume_trigger(trigger.trigger_id).status == "active"
        task = triggers.execute_trigger_now(trigger.trigger_id)
        assert mixpeek.TasksApi(client).get_task(task.task_id).status == "PENDING"
        assert triggers.list_triggers().total == 1
        triggers.delete_trigger(trigger.trigger_id)
        assert triggers.get_trigger(trigger.trigger_id).status == "disabled"

        cluster_triggers = mixpeek.ClusterTriggersApi(client)
        by_cluster = cluster_triggers.create_trigger_clusters(
            mixpeek.SharedClustersTriggersModelsCreateTriggerRequest(
                cluster_id="topics",
                trigger_type="event",
                schedule_config={"event_type": "documents_added", "event_threshold": 5},
            )
        )
        assert cluster_triggers.get_trigger_clusters(by_cluster.trigger_id).execution_config.collection_ids == [
            news.collection_id
        ]

        documents = mixpeek.CollectionDocumentsApi(client)
        document = documents.create_document(
            "news", mixpeek.DocumentCreateRequest.from_dict({"text": "Ebola", "document_id": "a/b"})
        )
        assert document.additional_properties["text"] == "Ebola"
        assert documents.get_document("news", "a/b").additional_properties["text"] == "Ebola"
        with pytest.raises(mixpeek.exceptions.NotFoundException) as caught:
            documents.get_document("news", "a/c")
        assert caught.value.data.error.details == {"resource": "document", "id": "a/c"}
        with pytest.raises(mixpeek.exceptions.UnprocessableEntityException) as caught:
            collections.update_collection("news", {"colour": 1})
        assert "Accepted keys" in caught.value.data.error.message


async def test_the_first_hour_of_a_user_of_the_sdk(here: Context) -> None:
    await ensure_namespace(here.database, here.settings.namespace)
    async with served(here) as url:
        await asyncio.to_thread(first_hour, url)
