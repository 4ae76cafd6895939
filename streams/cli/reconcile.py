"""Making a server hold what manifests say: find by name, create what is absent, change what differs.

What a manifest leaves out is left as it is on the server. What a definition is made of and cannot be changed
(a collection's source, a trigger's action) is an error when it differs. Unified triggers are known by their
name among those not disabled, cluster triggers likewise by their description.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import ValidationError

from schemas.api.actions import NAMES
from schemas.api.alert import CreateAlertRequest
from schemas.api.base import ApiRequest, JsonObject, first_problem
from schemas.api.channel import masked
from schemas.api.cluster import CreateClusterRequest
from schemas.api.cluster_trigger import CreateClusterTriggerRequest
from schemas.api.clustering import parameters_of
from schemas.api.collection import AlertApplication, ClusterApplication, CreateCollectionRequest
from schemas.api.named import NamedIn, named_by_stages, named_by_taxonomy
from schemas.api.namespace import CreateNamespaceRequest
from schemas.api.retriever import CreateRetrieverRequest, input_fields
from schemas.api.schedule import read_schedule
from schemas.api.stages import normalised
from schemas.api.taxonomy import CreateTaxonomyRequest
from schemas.api.trigger import CreateTriggerRequest
from schemas.manifest import ManifestObject, Place, Step, StepKind, expand
from streams.cli.client import ApiClient, ApiRefusedError
from streams.cli.process import CommandError

Action = Literal["created", "changed", "unchanged"]

PATHS: Final[dict[StepKind, str]] = {
    "namespace": "/v1/namespaces",
    "collection": "/v1/collections",
    "retriever": "/v1/retrievers",
    "taxonomy": "/v1/taxonomies",
    "cluster": "/v1/clusters",
    "alert": "/v1/alerts",
    "trigger": "/v1/triggers",
    "cluster_trigger": "/v1/clusters/triggers",
}
_IDS: Final[dict[str, str]] = {"cluster_trigger": "trigger_id"}


class ApplyError(CommandError):
    """An object that could not be applied; names its file and carries the server's words."""

    def __init__(self, step: Step, message: str) -> None:
        super().__init__(f"{step.place}: {step.kind} {step.name!r}: {message}")
        self.place: Place = step.place


@dataclass(frozen=True, slots=True)
class Result:
    """What was done for one object."""

    action: Action
    kind: StepKind
    name: str
    id: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the server should hold, in the words of its answers: what PATCH can change and what is fixed."""

    create: JsonObject
    changeable: JsonObject
    fixed: JsonObject


async def apply_manifest(
    objects: Iterable[ManifestObject], client: ApiClient, *, resend_secrets: bool = False
) -> list[Result]:
    """Apply every object. Raises :class:`ManifestError` before anything is sent, :class:`ApplyError` at the
    first object the server refuses; those before it stay applied."""
    return [result async for result in apply_steps(expand(objects), client, resend_secrets=resend_secrets)]


async def apply_steps(
    steps: Iterable[Step], client: ApiClient, *, resend_secrets: bool = False
) -> AsyncIterator[Result]:
    """Apply expanded objects one by one. Secrets are shown masked, so a changed one looks unchanged;
    ``resend_secrets`` sends those of every alert again."""
    worker = _Applier(client, resend_secrets)
    for together in _together(steps):
        try:
            for result in await worker.apply(together):
                yield result
        except ApiRefusedError as error:
            raise ApplyError(together[0], str(error)) from error
        except ValidationError as error:
            where, message = first_problem(error)
            raise ApplyError(together[0], f"{'.'.join(map(str, where))}: {message}") from error


_APPLIED: Final[dict[StepKind, tuple[str, StepKind, type[ApiRequest]]]] = {
    "attachment": ("alert_applications", "alert", AlertApplication),
    "cluster_application": ("cluster_applications", "cluster", ClusterApplication),
}
"""What is applied to collections: the collection's key, what an entry names, and its shape."""


def _together(steps: Iterable[Step]) -> Iterator[list[Step]]:
    """Each step by itself, but what is applied to collections and follows each other by collection: all of a
    collection's are one call."""
    for kind, found in groupby(steps, key=lambda step: step.kind):
        if kind not in _APPLIED:
            yield from ([step] for step in found)
            continue
        of_collection: dict[str, list[Step]] = {}
        for step in found:
            of_collection.setdefault(step.name, []).append(step)
        yield from of_collection.values()


class _Applier:
    def __init__(self, client: ApiClient, resend_secrets: bool) -> None:
        self._client = client
        self._resend_secrets = resend_secrets
        self._ids: dict[tuple[StepKind, str], str] = {}

    async def apply(self, steps: Sequence[Step]) -> list[Result]:
        """Create, change or leave one object, or what is applied to one collection."""
        if steps[0].kind in _APPLIED:
            return await self._attach(steps, *_APPLIED[steps[0].kind])
        result = await self._apply(steps[0])
        self._ids[result.kind, result.name] = result.id
        return [result]

    async def _apply(self, step: Step) -> Result:
        wish = await self._wish(step)
        path, identifier = PATHS[step.kind], _IDS.get(step.kind, f"{step.kind}_id")
        found = await self._find(step)
        if found is None:
            made = (await self._client.call("POST", path, wish.create)).body
            return Result("created", step.kind, step.name, made[identifier])
        for key, value in wish.fixed.items():
            if found.get(key) != value:
                raise ApplyError(step, f"{key} cannot be changed; delete the {step.kind} to make it anew")
        changes = {key: value for key, value in wish.changeable.items() if found.get(key) != value}
        if step.kind == "alert":
            self._secrets(step, found, wish, changes)
        if changes:
            await self._client.call("PATCH", f"{path}/{quote(found[identifier], safe='')}", changes)
        return Result("changed" if changes else "unchanged", step.kind, step.name, found[identifier])

    def _secrets(self, step: Step, found: JsonObject, wish: Wish, changes: JsonObject) -> None:
        wanted = wish.create["notification_config"]
        shown = masked(wanted)
        if shown != found["notification_config"] or (self._resend_secrets and shown != wanted):
            changes["notification_config"] = wanted

    async def _get(self, kind: StepKind, name: str) -> JsonObject | None:
        try:
            answer = await self._client.call("GET", f"{PATHS[kind]}/{quote(name, safe='')}")
        except ApiRefusedError as error:
            if error.status == 404:
                return None
            raise
        found: JsonObject = answer.body
        return found

    async def _find(self, step: Step) -> JsonObject | None:
        if step.kind not in ("trigger", "cluster_trigger"):
            return await self._get(step.kind, step.name)
        key = "name" if step.kind == "trigger" else "description"
        found: list[JsonObject] = []
        window: dict[str, Any] = {"offset": 0, "limit": 1000}
        while True:
            page = (await self._client.call("POST", f"{PATHS[step.kind]}/list", window)).body
            found += [item for item in page["results"] if item[key] == step.name and item["status"] != "disabled"]
            window["offset"] += window["limit"]
            if window["offset"] >= page["total"]:
                break
        if len(found) > 1:
            ids = ", ".join(item["trigger_id"] for item in found)
            raise ApplyError(step, f"several on the server have this {key} ({ids}); delete all but one")
        return found[0] if found else None

    async def _id(self, step: Step, kind: StepKind, name: str) -> str:
        """The id of what an object refers to by name (or by id)."""
        if (kind, name) not in self._ids:
            found = await self._get(kind, name)
            if found is None:
                raise ApplyError(step, f"there is no {kind} {name!r}")
            self._ids[kind, name] = found[f"{kind}_id"]
        return self._ids[kind, name]

    async def _id_list(self, step: Step, names: Iterable[str]) -> list[str]:
        return list(dict.fromkeys([await self._id(step, "collection", name) for name in names]))

    async def _named(self, step: Step, config: JsonObject) -> JsonObject:
        """A part of a trigger with ids in place of names."""
        found = dict(config)
        for key, kind in NAMES.items():
            value = found.get(key)
            if isinstance(value, str):
                found[key] = await self._id(step, kind, value)
            elif isinstance(value, list):
                found[key] = list(dict.fromkeys([await self._id(step, kind, name) for name in value]))
        return found

    async def _with_ids(self, step: Step, places: Iterable[NamedIn]) -> None:
        for place in places:
            place.put([await self._id(step, place.kind, name) for name in place.names])

    async def _wish(self, step: Step) -> Wish:
        body = dict(step.body)
        if step.kind == "namespace":
            return _namespace(CreateNamespaceRequest.model_validate(body))
        if step.kind == "collection":
            return _collection(CreateCollectionRequest.model_validate(body))
        if step.kind == "retriever":
            return await self._retriever(step, CreateRetrieverRequest.model_validate(body))
        if step.kind == "taxonomy":
            taxonomy = CreateTaxonomyRequest.model_validate(body)
            config = taxonomy.config.filled()
            await self._with_ids(step, named_by_taxonomy(config))
            return _taxonomy(taxonomy, config)
        if step.kind == "cluster":
            cluster = CreateClusterRequest.model_validate(body)
            return _cluster(cluster, await self._id_list(step, cluster.collection_ids or ()))
        if step.kind == "alert":
            if body.get("retriever_id") is not None:
                body["retriever_id"] = await self._id(step, "retriever", body["retriever_id"])
            return _alert(CreateAlertRequest.model_validate(body))
        body["schedule_config"] = await self._named(step, body["schedule_config"])
        if step.kind == "trigger":
            body["action_config"] = await self._named(step, body["action_config"])
            return _trigger(CreateTriggerRequest.model_validate(body))
        if body.get("cluster_id") is not None:
            body["cluster_id"] = await self._id(step, "cluster", body["cluster_id"])
        if isinstance(execution := body.get("execution_config"), dict):
            ids = await self._id_list(step, execution["collection_ids"])
            body["execution_config"] = {**execution, "collection_ids": ids}
        return _cluster_trigger(CreateClusterTriggerRequest.model_validate(body))

    async def _retriever(self, step: Step, request: CreateRetrieverRequest) -> Wish:
        wanted = request.given()
        create = {**wanted, "stages": normalised(request.stages)}
        names = [*wanted.pop("collection_identifiers", []), *wanted.pop("collection_ids", [])]
        create.pop("collection_ids", None)
        create["collection_identifiers"] = await self._id_list(step, names)
        create["stages"] = deepcopy(create["stages"])
        await self._with_ids(step, named_by_stages(create["stages"]))
        empty = {"batch_size": None, "description": None, "output_alias": None}
        changeable = {key: create[key] for key in wanted if key not in ("retriever_name", "budget_limits")}
        changeable["collection_identifiers"] = create["collection_identifiers"]
        changeable["stages"] = [
            {**empty, **stage, "parameters": stage["config"]["parameters"]} for stage in create["stages"]
        ]
        if request.input_schema is not None:
            changeable["input_schema"] = create["input_schema"] = input_fields(request.input_schema)
        fixed = {} if request.budget_limits is None else {"budget_limits": request.budget_limits.filled()}
        return Wish(create, changeable, fixed)

    async def _attach(
        self, steps: Sequence[Step], key: str, kind: StepKind, shape: type[ApiRequest]
    ) -> list[Result]:
        """Add or replace entries of what is applied to a collection in one call; the others stay."""
        name, identifier = steps[0].name, f"{kind}_id"
        collection = await self._get("collection", name)
        if collection is None:
            raise ApplyError(steps[0], f"there is no collection {name!r}")
        before: JsonObject = {item[identifier]: item for item in collection[key] or ()}
        wanted: dict[str, Step] = {}
        results: list[Result] = []
        after = dict(before)
        for step in steps:
            named = await self._id(step, kind, step.body[identifier])
            entry = shape.model_validate({**step.body, identifier: named}).filled()
            held = before.get(named)
            action: Action = "unchanged" if held == entry else "created" if held is None else "changed"
            results.append(Result(action, step.kind, f"{step.body[identifier]} on {name}", named))
            if held != entry:
                after[named], wanted[named] = entry, step
        if wanted:
            path = f"{PATHS['collection']}/{quote(collection['collection_id'], safe='')}"
            try:
                await self._client.call("PATCH", path, {key: list(after.values())})
            except ApiRefusedError as error:
                if kind == "alert":
                    raise _unattached(error, list(after), wanted) from error
                raise
        return results


def _unattached(error: ApiRefusedError, sent: Sequence[str], wanted: Mapping[str, Step]) -> ApplyError:
    """What to do about attachments that were refused, at the one that is wrong. ``sent`` are the alerts of all the
    attachments in the call, ``wanted`` those that come from the manifest."""
    where = error.location[2:3] if error.location[:2] == ("body", "alert_applications") else ()
    alert_id = next((sent[at] for at in where if isinstance(at, int) and at < len(sent)), "")
    if alert_id not in wanted:
        alert_id = next(iter(wanted))
    step = wanted[alert_id]
    others = f", and neither are the other {len(wanted) - 1} of the manifest" if len(wanted) > 1 else ""
    return ApplyError(
        step,
        f"{error}. Alert {step.body['alert_id']!r} ({alert_id}) and its retriever are on the server, but not"
        f" attached to {step.name!r}{others}. Correct the manifest and apply it again: what is there already is"
        " changed where it differs, not made twice. To give the alert up instead, delete it",
    )


def _namespace(request: CreateNamespaceRequest) -> Wish:
    given = request.given()
    changeable: JsonObject = {key: given[key] for key in ("description", "payload_indexes") if key in given}
    fixed: JsonObject = {key: given[key] for key in ("namespace_id", "mode") if key in given}
    return Wish(given, changeable, fixed)


def _collection(request: CreateCollectionRequest) -> Wish:
    given = request.given()
    changeable: JsonObject = {key: given[key] for key in ("description", "enabled", "metadata") if key in given}
    if (schedule := request.schedule) is not None:
        config = read_schedule(schedule.trigger_type, schedule.schedule_config)
        changeable["schedule"] = {**schedule.filled(), "schedule_config": config}
    return Wish(given, changeable, {"source": request.source.filled()})


def _alert(request: CreateAlertRequest) -> Wish:
    given = request.given()
    # Secrets are masked in answers, so channels are compared apart.
    apart = ("name", "source", "notification_config")
    changeable: JsonObject = {key: value for key, value in given.items() if key not in apart}
    create = {**given, "notification_config": request.notification_config.filled()}
    return Wish(create, changeable, {"source": request.source})


def _taxonomy(request: CreateTaxonomyRequest, config: JsonObject) -> Wish:
    given = request.given()
    changeable: JsonObject = {key: given[key] for key in ("description", "metadata") if key in given}
    return Wish({**given, "config": config}, changeable, {"config": config})


def _cluster(request: CreateClusterRequest, collection_ids: list[str]) -> Wish:
    given = request.given()
    changeable: JsonObject = {key: given[key] for key in ("description", "metadata") if key in given}
    fixed: JsonObject = {"input_collections": collection_ids, "cluster_type": request.cluster_type}
    if request.vector_config is not None:
        config = request.vector_config.filled()
        fixed["algorithm"] = config["clustering_method"]
        features = config.get("feature_uris") or [uri for uri in [config.get("feature_uri")] if uri]
        if features:
            fixed["feature_uris"] = features
        if "sample_size" in config:
            changeable["sample_size"] = config["sample_size"]
        if parameters := parameters_of(config):
            changeable["algorithm_params"] = parameters
    return Wish({**given, "collection_ids": collection_ids}, changeable, fixed)


def _trigger(request: CreateTriggerRequest) -> Wish:
    given = request.given()
    keys = ("description", "schedule_config", "status")
    changeable: JsonObject = {key: given[key] for key in keys if key in given}
    fixed: JsonObject = {key: given[key] for key in ("action_type", "action_config", "trigger_type")}
    if notified := given["action_config"].get("notification_config"):
        # Secrets are masked in answers.
        fixed["action_config"] = {**given["action_config"], "notification_config": masked(notified)}
    return Wish(given, changeable, fixed)


def _cluster_trigger(request: CreateClusterTriggerRequest) -> Wish:
    given = request.given()
    changeable: JsonObject = {key: given[key] for key in ("schedule_config", "status") if key in given}
    fixed: JsonObject = {"trigger_type": request.trigger_type, "cluster_id": request.cluster_id}
    if request.execution_config is not None:
        fixed["execution_config"] = {
            **request.execution_config.filled(),
            "config": request.execution_config.config.filled(),
        }
    return Wish(given, changeable, fixed)
