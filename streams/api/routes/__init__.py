"""The routes of the definitions API, one HTTP noun per file."""

from fastapi import APIRouter

from streams.api.routes import (
    alerts,
    cluster_triggers,
    clusters,
    collections,
    document_batches,
    document_lists,
    documents,
    executions,
    explain,
    namespace_documents,
    namespaces,
    plans,
    refused,
    retrievers,
    stages,
    tasks,
    taxonomies,
    triggers,
    upserts,
    webhooks,
)


def routers() -> list[APIRouter]:
    """Every router, literal paths before those with an identifier in their place (contract 1.1)."""
    return [
        refused.router,
        namespaces.router,
        upserts.router,
        collections.router,
        document_batches.router,
        document_lists.router,
        documents.router,
        namespace_documents.router,
        stages.router,
        executions.router,
        plans.router,
        retrievers.router,
        alerts.router,
        explain.router,
        cluster_triggers.router,
        clusters.router,
        taxonomies.router,
        triggers.router,
        tasks.router,
        webhooks.router,
    ]
