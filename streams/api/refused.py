"""What the API has and this server does not: areas and single endpoints, each with why (docs/endpoints.md).

They answer 403 ``NotEnabledError`` with the reason, so that a caller of the SDK learns what is the matter; a path
that nobody documents stays a 404.
"""

from collections.abc import Mapping
from typing import Final

_BUCKETS = "this server stores no files: documents come from the stream and the documents API"
_ORGANIZATION = "this server has one organisation, run by whoever runs the server: see `tidewatch keys`"
_BILLING = "nothing is billed here"
_MODELS = "this server runs no models: send vectors with the documents"
_TEMPLATES = "there is no catalogue of templates: keep definitions in files, see `tidewatch apply`"
_MARKETPLACE = "nothing is published or sold from this server"
_ANALYTICS = "metrics are served to Prometheus at /metrics"
_EVALUATION = "interactions are not recorded and retrievers not evaluated here"
_SNAPSHOTS = "back up PostgreSQL; the view of results is rebuilt from the topics"
_LINEAGE = "documents of this server are not decomposed from objects"
_EXPORT = "read the topics, or list the documents by cursor"
_ENRICHMENT = "make a trigger with an action of type taxonomy_enrichment"
_INFERRING = "taxonomies are not inferred here: create one with its config"
_SCHEMA = "documents have no enforced schema"
_ORG_ALERTS = "alerts belong to a namespace here: use /v1/alerts; webhooks are told of alerts of every namespace"

AREAS: Final[Mapping[str, str]] = {
    "/v1/agents": "this server runs no agent",
    "/v1/analytics": _ANALYTICS,
    "/v1/annotations": "documents are not annotated here: write to their fields",
    "/v1/apps": _MARKETPLACE,
    "/v1/batches": _BUCKETS,
    "/v1/billing": _BILLING,
    "/v1/buckets": _BUCKETS,
    "/v1/discovery": "see GET /v1/retrievers/stages and the OpenAPI document",
    "/v1/evaluations": _EVALUATION,
    "/v1/events": "events are sent to webhooks and not stored: see /v1/organizations/webhooks",
    "/v1/extractors": _MODELS,
    "/v1/features": "search with POST /v1/retrievers/execute",
    "/v1/inference": _MODELS,
    "/v1/manifest": "definitions as files are applied by `tidewatch apply`",
    "/v1/marketplace": _MARKETPLACE,
    "/v1/me": _ORGANIZATION,
    "/v1/models": _MODELS,
    "/v1/notifications": "nobody has an inbox here: alerts and webhooks notify",
    "/v1/objects": _BUCKETS,
    "/v1/onboarding": "there is nothing to sign up for",
    "/v1/organizations/alerts": _ORG_ALERTS,
    "/v1/organizations/api-keys": _ORGANIZATION,
    "/v1/organizations/audit": "writes are in the topic `definitions`, requests in the log",
    "/v1/organizations/billing": _BILLING,
    "/v1/organizations/connections": _BUCKETS,
    "/v1/organizations/credits": _BILLING,
    "/v1/organizations/dsar": "delete the documents of a person; their payloads go with them",
    "/v1/organizations/infrastructure": _ORGANIZATION,
    "/v1/organizations/secrets": "secrets are given with the channel that needs them and stored encrypted",
    "/v1/organizations/targets": _BUCKETS,
    "/v1/organizations/usage": _BILLING,
    "/v1/organizations/users": _ORGANIZATION,
    "/v1/public": _MARKETPLACE,
    "/v1/quickstart": "there is nothing to sign up for",
    "/v1/resources": "list each kind with `search`",
    "/v1/retrievers/benchmarks": _EVALUATION,
    "/v1/retrievers/evaluations": _EVALUATION,
    "/v1/retrievers/interactions": _EVALUATION,
    "/v1/retrievers/publish": _MARKETPLACE,
    "/v1/retrievers/published": _MARKETPLACE,
    "/v1/signup": "there is nothing to sign up for",
    "/v1/support": "this server has no support desk",
    "/v1/templates": _TEMPLATES,
    "/v1/retrievers/{}/learned-fusion": _EVALUATION,
    "/v1/collections/features": "the vector indexes of a collection are in the collection",
    "/v1/collections/import": _EXPORT,
    "/v1/namespaces/migrations": _SNAPSHOTS,
}
"""Paths that begin so, with any method; ``{}`` for what is named in one."""

_COLLECTION = "/v1/collections/{}"
_DOCUMENT = "/v1/collections/{}/documents/{}"
_NAMESPACE = "/v1/namespaces/{}"
_RETRIEVER = "/v1/retrievers/{}"
_TAXONOMY = "/v1/taxonomies/{}"
_RUN = "/v1/clusters/{}/executions/{}"

ENDPOINTS: Final[Mapping[str, str]] = {
    "GET /v1/organizations": _ORGANIZATION,
    "PATCH /v1/organizations": _ORGANIZATION,
    f"GET {_RUN}/export": _EXPORT,
    f"PATCH {_RUN}/labels": "clusters are named by their key words; labels are not written by hand",
    f"PATCH {_RUN}/name": "runs have no names",
    "GET /v1/clusters/{}/visualization": "nothing is drawn here: read the groups, or the run with its vectors",
    f"GET {_COLLECTION}/lifecycle": "collections are always active",
    f"PATCH {_COLLECTION}/lifecycle": "collections are always active",
    f"POST {_COLLECTION}/sync-schema": _SCHEMA,
    f"POST {_COLLECTION}/apply-taxonomy": _ENRICHMENT,
    f"GET {_COLLECTION}/features": "the vector indexes are in the collection itself",
    f"POST {_COLLECTION}/export": _EXPORT,
    f"POST {_COLLECTION}/import": _EXPORT,
    f"GET {_COLLECTION}/reconciliation": _BUCKETS,
    f"POST {_COLLECTION}/documents/schema/validate": _SCHEMA,
    f"GET {_DOCUMENT}/download": _BUCKETS,
    f"GET {_DOCUMENT}/ancestors": _LINEAGE,
    f"GET {_DOCUMENT}/descendants": _LINEAGE,
    f"GET {_DOCUMENT}/diagnostics": "see POST /v1/alerts/{alert}/explain",
    f"GET {_DOCUMENT}/lineage": _LINEAGE,
    f"PATCH {_DOCUMENT}/acl": "access is by namespace: see `tidewatch keys`",
    f"POST {_NAMESPACE}/clone": _SNAPSHOTS,
    f"POST {_NAMESPACE}/ensure-indexes": "the indexes that filters need are there",
    f"GET {_NAMESPACE}/extractors": _MODELS,
    f"GET {_NAMESPACE}/extractors/{{}}": _MODELS,
    f"GET {_NAMESPACE}/models": _MODELS,
    f"POST {_NAMESPACE}/models": _MODELS,
    f"GET {_NAMESPACE}/models/available": _MODELS,
    f"GET {_NAMESPACE}/models/{{}}": _MODELS,
    f"DELETE {_NAMESPACE}/models/{{}}": _MODELS,
    f"POST {_NAMESPACE}/models/{{}}/deploy": _MODELS,
    f"POST {_NAMESPACE}/models/org/{{}}/disable": _MODELS,
    f"POST {_NAMESPACE}/models/org/{{}}/enable": _MODELS,
    f"POST {_NAMESPACE}/promote": "standalone namespaces are searched as they are",
    f"POST {_NAMESPACE}/promote/validate": "standalone namespaces are searched as they are",
    f"POST {_NAMESPACE}/snapshots": _SNAPSHOTS,
    f"POST {_NAMESPACE}/snapshots/list": _SNAPSHOTS,
    f"GET {_NAMESPACE}/snapshots/{{}}": _SNAPSHOTS,
    f"DELETE {_NAMESPACE}/snapshots/{{}}": _SNAPSHOTS,
    f"POST {_NAMESPACE}/snapshots/{{}}/restore": _SNAPSHOTS,
    f"GET {_NAMESPACE}/snapshots/{{}}/verify": _SNAPSHOTS,
    f"GET {_NAMESPACE}/stats": "the counts are in the namespace and its collections",
    "POST /v1/namespaces/stats/batch": "the counts are in the namespaces and their collections",
    "GET /v1/retrievers/typeahead": "a retriever with a `starts_with` filter completes words",
    f"GET {_RETRIEVER}/publish": _MARKETPLACE,
    f"POST {_RETRIEVER}/publish": _MARKETPLACE,
    f"PATCH {_RETRIEVER}/publish": _MARKETPLACE,
    f"DELETE {_RETRIEVER}/publish": _MARKETPLACE,
    f"GET {_RETRIEVER}/publish/availability": _MARKETPLACE,
    f"POST {_RETRIEVER}/publish/reconcile": _MARKETPLACE,
    f"GET {_RETRIEVER}/api-keys": _MARKETPLACE,
    f"POST {_RETRIEVER}/api-keys": _MARKETPLACE,
    f"DELETE {_RETRIEVER}/api-keys/{{}}": _MARKETPLACE,
    f"GET {_RETRIEVER}/evaluations": _EVALUATION,
    f"POST {_RETRIEVER}/evaluations": _EVALUATION,
    f"GET {_RETRIEVER}/evaluations/{{}}": _EVALUATION,
    f"POST {_RETRIEVER}/evaluations/generate-from-interactions": _EVALUATION,
    "POST /v1/taxonomies/from-documents": _INFERRING,
    f"POST {_TAXONOMY}/versions": "how a taxonomy matches is fixed: clone it with another config",
    f"POST {_TAXONOMY}/nodes/from-documents": _INFERRING,
    f"GET {_TAXONOMY}/analytics/available-steps": _ANALYTICS,
    f"GET {_TAXONOMY}/analytics/runs": _ANALYTICS,
    f"GET {_TAXONOMY}/analytics/runs/{{}}": _ANALYTICS,
    f"POST {_TAXONOMY}/analytics/runs/{{}}/rerun": _ANALYTICS,
    f"POST {_TAXONOMY}/analytics/paths": _ANALYTICS,
    f"POST {_TAXONOMY}/analytics/transitions": _ANALYTICS,
}
"""Single endpoints: a method and a path, ``{}`` for what is named in it."""
