"""A user's day with the generated classes: definitions, documents, results, runs, and the tidying up."""

from typing import Any

import orjson
import pytest

from tests.api.make import CONSTANT, EBOLA, UNCONFIGURED, filter_stage
from tests.api.sdk.client import Sdk, mixpeek, until

ENDED = ("COMPLETED", "FAILED", "CANCELED", "SKIPPED")
URI = "mixpeek://passthrough_extractor@v1/embedding"
EXTRACTOR = {
    "feature_extractor_name": "passthrough_extractor",
    "version": "v1",
    "parameters": {
        "extractor_type": "passthrough_extractor",
        "preserve_metadata": True,
        "vector_fields": [{"field": "embedding", "name": "embedding", "dimensions": 3, "distance": "cosine"}],
    },
}


def search_stage(value: Any) -> dict[str, Any]:
    search = {"feature_uri": URI, "query": {"input_mode": "vector", "value": value}, "min_score": 0.5}
    parameters = {"searches": [search], "final_top_k": 5}
    return {"stage_name": "near", "config": {"stage_id": "feature_search", "parameters": parameters}}


def morning(sdk: Sdk, receiver: str) -> None:
    """Health, namespaces, a webhook for everything."""
    assert sdk("HealthApi.healthcheck_health") == {"status": "OK"}
    assert sdk("HealthApi.liveness_health")["status"] == sdk("HealthApi.celery_beat_health")["status"] == "OK"
    assert sdk("HealthApi.healthcheck_deep_health", deep=True).status == "OK"
    one = sdk("NamespacesApi.create_namespace", body={"namespace_name": "desk", "description": "d"})
    assert sdk("NamespacesApi.get_namespace", "desk").namespace_id == one.namespace_id
    sdk("NamespacesApi.patch_namespace", one.namespace_id, body={"description": "the desk"})
    sdk("NamespacesApi.update_namespace", "desk", body={"namespace_name": "desk", "description": "The desk"})
    assert sdk("NamespacesApi.list_namespaces").total_count == sdk("NamespacesApi.list_namespaces_get").total_count
    wanted = {"webhook_name": "audit", "event_types": ["alert.created"], "is_active": False}
    wanted["channels"] = [{"channel": "webhook", "configs": {"url": f"{receiver}/audit", "signing_secret": "s"}}]
    hook = sdk("WebhooksApi.create_webhook_organizations", body=wanted)
    assert sdk("WebhooksApi.get_webhook_organizations", hook.webhook_id).webhook_name == "audit"
    types = [
        "alert.created",
        "alert.triggered",
        "trigger.execution.completed",
        "collection.created",
        "document.created",
    ]
    changed = {**wanted, "is_active": True, "event_types": types}
    assert sdk("WebhooksApi.update_webhook_organizations", hook.webhook_id, body=changed).is_active is True
    listed = sdk("WebhooksApi.list_webhooks_organizations", body={"event_type": "alert.triggered"})
    assert (listed.total, listed.results[0].webhook_id) == (1, hook.webhook_id)


def definitions(sdk: Sdk) -> None:
    """Collections, retrievers, alerts, a cluster and taxonomies; lists to their end, errors as exceptions."""
    source = {"type": "direct_upsert"}
    news = sdk(
        "CollectionsApi.create_collection",
        body={"collection_name": "news", "source": source, "feature_extractor": EXTRACTOR},
    )
    assert sdk("CollectionsApi.get_collection", "news").collection_id == news.collection_id
    assert [index.feature_uri for index in news.vector_indexes] == [URI]
    copy = sdk("CollectionsApi.clone_collection", "news", body={"collection_name": "copy"})
    assert copy.source_collection_id == news.collection_id
    assert sdk("CollectionsApi.list_collections", body={"search": "cop*"}).total_count == 1
    assert sdk("CollectionsApi.list_collections_get").total_count == 2
    weekly = {"trigger_type": "interval", "schedule_config": {"interval_seconds": 604_800}}
    scheduled = sdk("CollectionsApi.update_collection", "copy", body={"schedule": weekly})
    assert sdk("TriggersApi.get_trigger", scheduled.trigger_id).action_type == "collection_trigger"

    made = sdk(
        "RetrieversApi.create_retriever",
        body={
            "retriever_name": "ebola",
            "collection_identifiers": ["news"],
            "stages": [filter_stage(EBOLA)],
            "budget_limits": {"max_time_ms": 60_000},
        },
    )
    assert sdk("RetrieversApi.get_retriever", "ebola").collection_ids == [news.collection_id]
    changed = sdk("RetrieversApi.patch_retriever", "ebola", body={"description": "d"})
    assert (changed.retriever.version, changed.retriever.retriever_id) == (2, made.retriever_id)
    near = {"vector": {"type": "array", "required": True}}
    cloned = sdk(
        "RetrieversApi.clone_retriever",
        "ebola",
        body={"retriever_name": "near", "stages": [search_stage("{{INPUT.vector}}")], "input_schema": near},
    )
    assert cloned.source_retriever_id == made.retriever_id
    assert cloned.retriever.budget_limits.max_time_ms == 60_000
    assert sdk("RetrieversApi.list_retrievers").total == sdk("RetrieversApi.list_retrievers_get").total == 2
    assert {stage.stage_id for stage in sdk("RetrieverStagesApi.list_stages_retrievers")} >= {"feature_search"}

    for name in ("Ebola", "Zika", "Ébola – «ü»"):
        wanted = {"name": name, "retriever_id": "ebola", "notification_config": UNCONFIGURED}
        alert = sdk("AlertsApi.create_alert", body=wanted)
        assert sdk("AlertsApi.get_alert", name).alert_id == alert.alert_id
    applied = {"alert_id": "Ebola", "input_mappings": CONSTANT}
    shown = sdk("CollectionsApi.update_collection", "news", body={"alert_applications": [applied]})
    assert len(shown.alert_applications) == 1
    assert sdk("AlertsApi.patch_alert", "Zika", body={"cooldown_seconds": 60}).cooldown_seconds == 60
    error = sdk.refused(409, "AlertsApi.create_alert", body={**wanted, "name": "Ebola"})
    assert isinstance(error, mixpeek.exceptions.ConflictException)
    assert error.data is None  # the SDK reads no model of a status that a method does not declare
    assert orjson.loads(error.body)["error"]["type"] == "AlreadyExistsError"
    for method in ("AlertsApi.list_alerts", "AlertsApi.list_alerts_0"):
        names, cursor = [], None
        while True:
            page = sdk(method, limit=2, cursor=cursor, include_total=True)
            names += [item.name for item in page.results]
            assert page.total_count == page.pagination.total == 3
            if (cursor := page.pagination.next_cursor) is None:
                break
        assert names == ["Ébola – «ü»", "Zika", "Ebola"]
    filtered = {"filters": {"AND": [{"field": "cooldown_seconds", "operator": "gt", "value": 0}]}}
    assert [item.name for item in sdk("AlertsApi.list_alerts_0", body=filtered).results] == ["Zika"]


def documents(sdk: Sdk) -> None:
    """Documents written, read, changed, counted, and deleted in the ways there are."""
    every = "CollectionDocumentsApi"
    for number in range(6):
        fields = {"text": f"Ebola {number}", "metadata": {"n": number, "desk": "ab"[number % 2]}}
        body = {**fields, "document_id": f"d{number}", "vectors": {"embedding": [1.0, number / 10, 0.0]}}
        written = sdk(f"{every}.create_document", "news", body=body)
        assert written.additional_properties["text"] == f"Ebola {number}"
    sdk(f"{every}.create_document", "news", body={"document_id": "a/b c", "text": "calm"})

    def count() -> int:
        found: int = sdk(f"{every}.count_documents", "news").count
        return found

    until(count, lambda found: found == 7, "the documents")
    assert sdk(f"{every}.get_document", "news", "a/b c").additional_properties["text"] == "calm"
    stored = sdk(f"{every}.get_document", "news", "d1", return_vectors=True)
    assert stored.additional_properties["metadata"]["n"] == 1
    changed = sdk(f"{every}.patch_document", "news", "d1", body={"metadata": {"seen": True}})
    assert changed.additional_properties["metadata"] == {"n": 1, "desk": "b", "seen": True}
    changed = sdk(f"{every}.update_document", "news", "d1", body={"title": "t"})
    assert changed.additional_properties["text"] == "Ebola 1"
    listed = sdk(f"{every}.list_documents", "news", limit=3, include_total=True)
    assert (len(listed.results), listed.pagination.total) == (3, 7)
    assert len(sdk(f"{every}.list_documents_0", "news", page_size=4).results) == 4
    assert len(sdk("DocumentsApi.list_documents_ns", body={"collection_ids": ["news"]}).results) == 7
    lists = {"queries": [{"key": "first", "request": {"collection_ids": ["news"], "limit": 2}}]}
    assert len(sdk("DocumentsApi.list_documents_batch", body=lists).results) == 1
    got = sdk("DocumentsApi.batch_get", body={"document_ids": ["d1", "nowhere"]})
    assert [item.document_id for item in got.documents] == ["d1"]
    assert sdk("DocumentsApi.get_document_ns", "d1").document_id == "d1"
    for method in ("patch_document_ns", "update_document_ns"):
        shown = sdk(f"DocumentsApi.{method}", "d1", body={"read": True})
        assert shown.additional_properties["read"] is True
    updates = [{"document_id": "d2", "update_data": {"title": "two"}}]
    assert sdk(f"{every}.batch_update", "news", body={"updates": updates}).updated_count == 1
    sdk(f"{every}.bulk_update", "news", body={"filters": {"metadata.desk": "a"}, "update_data": {"a": 1}})
    sdk(f"{every}.distinct_document_values", "news", body={"field": "metadata.desk"})
    figures = {"group_by": [{"field": "metadata.desk"}], "aggregations": [{"function": "count", "alias": "n"}]}
    sdk(f"{every}.aggregate_documents", "news", body=figures)
    assert sdk(f"{every}.batch_delete", "news", body={"document_ids": ["d4"]}).deleted_count == 1
    assert sdk(f"{every}.delete_document", "news", "d5").success is True
    until(count, lambda found: found == 5, "the deletions")
    error = sdk.refused(404, f"{every}.get_document", "news", "d5")
    assert error.data.error.details == {"resource": "document", "id": "d5"}


def results(sdk: Sdk) -> None:
    """What the alert found, and what retrievers find."""

    def fires() -> Any:
        return sdk("AlertsApi.list_alert_executions", "Ebola", limit=2)

    page = until(fires, lambda found: found.total_count >= 6, "the fires")
    seen = [item.execution_id for item in page.results]
    while page.pagination.next_cursor is not None:
        page = sdk("AlertsApi.list_alert_executions", "Ebola", limit=2, cursor=page.pagination.next_cursor)
        seen += [item.execution_id for item in page.results]
    assert len(seen) == len(set(seen)) == page.total_count
    newest = sdk("AlertsApi.get_latest_result_alerts", "Ebola")
    assert newest.execution_id == seen[0]
    # Documents lie in several partitions, and so whichever was matched first comes last.
    found = {sdk("AlertsApi.get_execution_alerts", one).matches[0].document_id for one in seen}
    assert found >= {f"d{number}" for number in range(4)}
    assert sdk("AlertsApi.list_all_executions_alerts", include_total=True).pagination.total >= len(seen)
    sdk.refused(404, "AlertsApi.get_latest_result_alerts", "Zika")

    asked = {"inputs": {"vector": [1.0, 0.0, 0.0]}, "pagination": {"method": "offset", "page_size": 2}}
    answer = sdk("RetrieversApi.execute_retriever", "near", body=asked)
    assert answer.status == "completed"
    assert [item["document_id"] for item in answer.documents] == ["d0", "d1"]
    error = sdk.refused(422, "RetrieversApi.execute_retriever", "near", body={"inputs": {}})
    assert error.data.error.type == "ValidationError"
    batch = {"queries": [{"inputs": {"vector": [1.0, 0.0, 0.0]}}, {"inputs": {"vector": [0.0, 1.0, 0.0]}}]}
    sdk("RetrieversApi.execute_batch_retrievers", "near", body=batch)
    adhoc = {"collection_identifiers": ["news"], "stages": [search_stage([1.0, 0.0, 0.0])], "inputs": {}}
    found = sdk("AdhocRetrieversApi.execute_adhoc_retriever", body=adhoc)

    def recorded() -> Any:
        return sdk("RetrieversApi.list_executions_retrievers", "near")

    runs = until(recorded, lambda page: page.pagination.total >= 3, "the executions").results
    run = next(item.execution_id for item in runs if item.execution_id == answer.execution_id)
    assert sdk("RetrieversApi.get_execution_retrievers", "near", run).documents[0]["document_id"] == "d0"
    assert sdk("RetrieversApi.get_execution_status_retrievers", "near", run)["status"] == "completed"
    sdk("RetrieversApi.get_execution_profile_retrievers", "near", run)
    # An alert's execution is its retriever's as well.
    assert sdk("RetrieversApi.get_execution_retrievers", "ebola", seen[0]).status == "completed"
    plan = sdk("RetrieversApi.explain_retriever_execution_id_execute", "near", body={"inputs": {}})
    assert plan.execution_plan[0].estimated_output <= 5

    def temporary() -> Any:
        return sdk("AdhocRetrieversApi.list_adhoc_executions_retrievers", body={"status": "completed"})

    until(temporary, lambda page: page.total == 1, "the ad-hoc execution")
    sdk("AdhocRetrieversApi.get_adhoc_execution_retrievers", found["execution_id"])


def runs(sdk: Sdk) -> None:
    """Triggers of both families, clusters, taxonomies and their tasks."""

    def ended(task_id: str) -> str:
        task = until(lambda: sdk("TasksApi.get_task", task_id), lambda task: task.status in ENDED, "the task")
        return str(task.status.value)

    created = sdk(
        "TriggersApi.create_trigger",
        body={
            "name": "sweep",
            "action_type": "retriever_execution",
            "action_config": {"retriever_id": "ebola"},
            "trigger_type": "interval",
            "schedule_config": {"interval_seconds": 3600},
        },
    )
    trigger = created.trigger_id
    assert sdk("TriggersApi.get_trigger", trigger).is_overdue is False
    assert sdk("TriggersApi.update_trigger", trigger, body={"description": "hourly"}).description == "hourly"
    assert sdk("TriggersApi.pause_trigger", trigger).status == "paused"
    assert sdk("TriggersApi.resume_trigger", trigger).status == "active"
    task = sdk("TriggersApi.execute_trigger_now", trigger)
    assert ended(task.task_id) == "COMPLETED"

    def history() -> Any:
        return sdk("TriggersApi.get_trigger_history", trigger)

    until(history, lambda page: [item.status for item in page.executions] == ["completed"], "the history")
    assert sdk("TriggersApi.get_trigger", trigger).execution_count == 1
    wanted = {"trigger_type": "interval", "resource_id": created.action_config["retriever_id"]}
    assert sdk("TriggersApi.list_triggers_0", body=wanted).total == 1
    assert sdk("TriggersApi.list_triggers").total == 2
    sdk("TriggersApi.delete_trigger", trigger)
    assert sdk("TriggersApi.get_trigger", trigger).status == "disabled"

    config = {"feature_uris": [URI], "clustering_method": "kmeans", "kmeans_parameters": {"n_clusters": 2}}
    cluster = {"collection_ids": ["news"], "cluster_name": "groups", "cluster_type": "vector"}
    sdk("ClustersApi.create_cluster", body={**cluster, "vector_config": config})
    sdk("ClustersApi.patch_cluster", "groups", body={"description": "d"})
    assert sdk("ClustersApi.get_cluster", "groups").cluster_name == "groups"
    assert sdk("ClustersApi.list_clusters").total_count == sdk("ClustersApi.list_clusters_get").total_count == 1
    task = sdk("ClustersApi.execute_clustering_clusters", "groups")
    assert ended(task.task_id) == "COMPLETED"
    run = sdk("ClusterExecutionsApi.get_cluster_execution", "groups")
    assert (run.status, run.num_clusters, run.num_points) == ("completed", 2, 4)
    again = sdk("ClusterExecutionsApi.get_cluster_execution_by_run", "groups", run.run_id, include_vectors=True)
    assert len(again.centroids[0].centroid_vector) == 3
    assert sdk("ClusterExecutionsApi.list_cluster_executions", "groups").total_count == 1
    canceled = sdk("ClusterExecutionsApi.cancel_execution_clusters_id_run", "groups", run.run_id)
    assert canceled["canceled"] is False
    assert sdk("ClustersApi.get_cluster_groups", "groups").total_documents == 4
    by_cluster = {
        "cluster_id": "groups",
        "trigger_type": "cron",
        "schedule_config": {"cron_expression": "0 0 1 1 *"},
    }
    family = "ClusterTriggersApi"
    yearly = sdk(f"{family}.create_trigger_clusters", body=by_cluster).trigger_id
    assert sdk(f"{family}.get_trigger_clusters", yearly).execution_config.collection_ids
    assert sdk(f"{family}.update_trigger_clusters", yearly, body={"description": "d"}).description == "d"
    assert sdk(f"{family}.pause_trigger_clusters", yearly).status == "paused"
    assert sdk(f"{family}.resume_trigger_clusters", yearly).status == "active"
    assert sdk(f"{family}.list_triggers_clusters", body={"status": "active"}).total == 1
    assert sdk(f"{family}.get_trigger_history_clusters", yearly, body={"limit": 5}).total == 0
    sdk(f"{family}.delete_trigger_clusters", yearly)

    flat = {
        "taxonomy_type": "flat",
        "retriever_id": "near",
        "input_mappings": [{"input_key": "vector", "source_type": "vector", "path": "embedding"}],
        "source_collection": {"collection_id": "news", "enrichment_fields": [{"field_path": "title"}]},
    }
    sdk("TaxonomiesApi.create_taxonomy_taxonomies", body={"taxonomy_name": "topics", "config": flat})
    shown = sdk("TaxonomiesApi.get_taxonomy_taxonomies", "topics", version=1)
    assert shown.config.actual_instance.taxonomy_type == "flat"
    assert sdk("TaxonomiesApi.patch_taxonomy_taxonomies", "topics", body={"description": "d"}).description == "d"
    clone = sdk("TaxonomiesApi.clone_taxonomy_taxonomies", "topics", body={"taxonomy_name": "topics 2"})
    assert clone.source_taxonomy_id == shown.taxonomy_id
    assert sdk("TaxonomiesApi.list_taxonomies").total_count == 2
    assert sdk("TaxonomiesApi.list_taxonomies_0", body={"search": "topics 2"}).total_count == 1
    assert sdk("TaxonomiesApi.list_taxonomy_versions_taxonomies", shown.taxonomy_id).total_count == 1
    sample = {"source_documents": [{"document_id": "x", "features": {URI: [1.0, 0.2, 0.0]}}]}
    sdk("TaxonomiesApi.execute_taxonomy_taxonomies_0", "topics", body=sample)
    with pytest.deprecated_call():
        sdk("TaxonomiesApi.execute_taxonomy_taxonomies", "topics", body=sample)

    # Its models of stages send placeholders for what is not given.
    enrich = mixpeek.StageParamsTaxonomyEnrich(taxonomy_id=shown.taxonomy_id).to_dict()
    join = mixpeek.StageParamsDocumentEnrich(retriever_id="ebola").to_dict()
    assert join["target_collection_id"] == "{{COLLECTION_ID}}"
    stages = [
        {"stage_name": name, "config": {"stage_id": name, "parameters": parameters}}
        for name, parameters in (("taxonomy_enrich", enrich), ("document_enrich", join))
    ]
    sdk("RetrieversApi.create_retriever", body={"retriever_name": "enriching", "stages": stages})
    sdk.refused(409, "TaxonomiesApi.delete_taxonomy_taxonomies", "topics")
    error = sdk.refused(422, "CollectionsApi.update_collection", "news", body={"colour": 1})
    assert "Accepted keys" in error.data.error.message

    again = sdk("CollectionsApi.trigger_collection", "news")
    assert ended(again.task_id) == "COMPLETED"
    assert sdk("TasksApi.kill_task", again.task_id).success is True
    finished = sdk("TasksApi.list_tasks", limit=2, body={"status": "COMPLETED"})
    assert finished.results[0].task_id == again.task_id
    assert finished.pagination.next_cursor is not None


def own_vectors(sdk: Sdk) -> None:
    """A namespace for vectors of the user's own."""
    body = {"namespace_id": "mine", "vector_configs": [{"name": "v", "dimension": 2}]}
    assert sdk("BYODocumentsApi.create_standalone_namespace", body=body).mode == "standalone"
    given = [{"document_id": "x", "vectors": {"v": [1.0, 0.0]}, "payload": {"a": 1}}]
    done = sdk("BYODocumentsApi.upsert_documents_byo_namespaces", "mine", body={"documents": given})
    assert done.document_ids == ["x"]

    def there() -> Any:
        try:
            return sdk("BYODocumentsApi.get_document_byo_namespaces", "mine", "x", return_vectors=True)
        except mixpeek.exceptions.NotFoundException:
            return None

    until(there, lambda found: found is not None, "the document of one's own")


def evening(sdk: Sdk) -> None:
    """Everything is deleted again."""
    sdk("RetrieversApi.delete_retriever", "enriching")
    for name in ("topics", "topics 2"):
        sdk("TaxonomiesApi.delete_taxonomy_taxonomies", name)
    sdk("ClustersApi.delete_cluster", "groups")
    for alert in sdk("AlertsApi.list_alerts").results:
        sdk("AlertsApi.delete_alert", alert.alert_id)
    assert sdk("CollectionsApi.get_collection", "news").alert_applications is None
    for name in ("near", "ebola"):
        sdk("RetrieversApi.delete_retriever", name)
    for name in ("news", "copy"):
        sdk("CollectionsApi.delete_collection", name)
    for hook in sdk("WebhooksApi.list_webhooks_organizations").results:
        sdk("WebhooksApi.delete_webhook_organizations", hook.webhook_id)
    assert sdk("NamespacesApi.delete_namespace", "desk", force=True)["task_id"]
    error = sdk.refused(403, "BucketsApi.get_bucket", "files")
    assert error.data.error.type == "NotEnabledError"
