"""Which requests only ask, so that a key that reads may send them."""

import pytest

from streams.runtime.http.access import only_reads


@pytest.mark.parametrize(
    "path",
    [
        "/v1/alerts/list",
        "/v1/documents/list/batch",
        "/v1/documents/batch-get",
        "/v1/collections/{collection_identifier}/documents/distinct",
        "/v1/clusters/triggers/{trigger_id}/history",
        "/v1/alerts/{alert_identifier}/explain",
        "/v1/retrievers/execute",
        "/v1/retrievers/{retriever_id}/execute",
        "/v1/retrievers/{retriever_id}/execute/batch",
        "/v1/retrievers/{retriever_id}/execute/explain",
        "/v1/taxonomies/{taxonomy_identifier}/execute",
        "/v1/taxonomies/execute/{taxonomy_identifier}",
    ],
)
def test_a_post_that_asks_is_read(path: str) -> None:
    assert only_reads("POST", path)
    assert only_reads("GET", path)
    assert not only_reads("DELETE", path)
    assert not only_reads("PUT", path)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/alerts",
        "/v1/retrievers",
        "/v1/retrievers/{retriever_id}/clone",
        "/v1/collections/{collection_identifier}/documents",
        "/v1/collections/{collection_identifier}/documents/batch",
        "/v1/collections/{collection_identifier}/trigger",
        "/v1/clusters/{cluster_id}/execute",
        "/v1/triggers/{trigger_id}/execute",
        "/v1/clusters/triggers/{trigger_id}/execute",
        "/v1/taxonomies",
        "/v1/namespaces/{namespace_id}/documents/upsert",
        "/v1/somewhere/execute",
    ],
)
def test_any_other_post_writes(path: str) -> None:
    assert not only_reads("POST", path)
