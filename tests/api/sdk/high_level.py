"""A user's day with the high-level client, which reads answers as they are."""

from collections.abc import Callable
from typing import Any

import mixpeek as official
import pytest
from mixpeek._client.client import MixpeekAPIError

from tests.api.make import EBOLA, filter_stage
from tests.api.sdk.client import until

mixpeek: Any = official


def day(url: str, key: str) -> None:
    """Every method of its resources that is served, and that the others say why not."""
    user = mixpeek.Mixpeek(key, namespace="studio", base_url=f"{url}/v1")
    made = user.namespaces.create(name="studio")
    assert user.namespaces.get("studio").namespace_id == made["namespace_id"]
    assert "studio" in [item.namespace_name for item in user.namespaces.list().results]
    user.collections.create(name="clips", source={"type": "direct_upsert"})
    assert [item.collection_name for item in user.collections.list().results] == ["clips"]
    assert user.collections.get("clips").document_count == 0
    user.collections.update("clips", description="d")
    assert user.collections.clone("clips", collection_name="clips2").collection.description == "d"
    user.retrievers.create(name="words", stages=[filter_stage(EBOLA)], collection_identifiers=["clips"])
    assert user.retrievers.update("words", description="d").retriever.version == 2
    assert user.retrievers.clone("words", retriever_name="copy").retriever.retriever_name == "copy"
    assert len(user.retrievers.list().results) == 2
    assert user.retrievers.get("copy").retriever_name == "copy"

    generated = mixpeek.Configuration(host=url, access_token=key)
    generated.api_key["NamespaceHeader"] = "studio"
    with mixpeek.ApiClient(generated) as client:
        documents = mixpeek.CollectionDocumentsApi(client)
        for number in range(3):
            body = {"document_id": f"c{number}", "text": f"Ebola {number}"}
            documents.create_document("clips", mixpeek.DocumentCreateRequest.from_dict(body))
        # The twins of a method: with what came with the answer, and unread.
        told = documents.count_documents_with_http_info("clips")
        assert (told.status_code, told.data.collection_id) == (200, told.data.collection_id)
        assert told.headers["x-request-id"]
        assert documents.count_documents_without_preload_content("clips").status == 200

    until(lambda: user.collections.get("clips").document_count, lambda count: count == 3, "the documents")
    page = user.documents.list("clips", page_size=2)
    assert len(page.results) == 2
    assert len(user.documents.list("clips", page_size=2, cursor=page.pagination.next_cursor).results) == 1
    assert user.documents.get("clips", "c1").text == "Ebola 1"
    user.documents.update("clips", "c1", update_data={"metadata": {"seen": True}})
    assert user.documents.get("clips", "c1").metadata == {"seen": True}
    changed = user.documents.batch_update("clips", updates=[{"document_id": "c2", "update_data": {"a": 1}}])
    assert changed.updated_count == 1
    assert user.documents.delete("clips", "c0").success is True

    def found() -> list[str]:
        answer = user.retrievers.execute("words", inputs={}, settings={})
        return sorted(item.document_id for item in answer.documents)

    until(found, lambda ids: ids == ["c1", "c2"], "the deletion")
    assert user.retrievers.run("words", inputs={}).status == "completed"
    batch = user.retrievers.execute_batch("words", queries=[{"inputs": {}}, {"inputs": {}}])
    assert len(batch.results) == 2
    task = user.collections.trigger("clips")
    assert user.tasks.get(task.task_id).task_id == task.task_id
    assert user.tasks.list(task_type="api_collections_trigger").results
    assert user.tasks.delete(task.task_id).success is True

    user.namespaces.create(namespace_id="vectors", vector_configs=[{"name": "v", "dimension": 2}])
    upserted = [{"document_id": "x", "vectors": {"v": [1.0, 0.0]}}]
    assert user.namespaces.documents.upsert(namespace_id="vectors", documents=upserted).document_ids == ["x"]

    refused: tuple[Callable[[], Any], ...] = (
        lambda: user.buckets.list(),
        lambda: user.namespaces.clone("studio", namespace_name="other"),
        lambda: user.namespaces.promote("vectors"),
        lambda: user.retrievers.publish("words"),
        lambda: user.retrievers.enable_learned_fusion("words"),
        lambda: user.retrievers.list_interactions("words"),
        lambda: user.evaluations.list("words"),
    )
    for call in refused:
        with pytest.raises(MixpeekAPIError) as caught:
            call()
        assert (caught.value.status, caught.value.detail["error"]["type"]) == (403, "NotEnabledError")
    with pytest.raises(MixpeekAPIError) as caught:
        user.collections.get("nowhere")
    assert caught.value.detail["error"]["details"] == {"resource": "collection", "id": "nowhere"}

    for name in ("words", "copy"):
        user.retrievers.delete(name)
    for name in ("clips", "clips2"):
        user.collections.delete(name)
    user.namespaces.delete("studio")
