"""Manifests: definitions written as files, expanded to API creates in the order they can be made. Pure.

Each object is the body of an API create plus ``kind``; references are names. Three conveniences:

- an alert may carry its ``retriever`` inline (a retriever body without collections), or ask by the shorthand
  ``filter`` (a filter tree: strings compare in any case unless it says ``case_sensitive: true``) and/or
  ``query`` ({feature_uri, text or vector, min_score}); either makes a retriever called ``<alert name>
  retriever``, over the whole namespace;
- an alert's ``collections`` attach it to those on ingest;
- ``notification_config`` of an alert and ``source`` of a collection may be left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import Any, Final, Literal, TypeAlias, get_args

from pydantic import ValidationError

from schemas.api.alert import CreateAlertRequest
from schemas.api.base import ApiRequest, JsonObject, first_problem
from schemas.api.channel import UNCONFIGURED, NotificationConfig
from schemas.api.cluster import CreateClusterRequest
from schemas.api.cluster_trigger import CreateClusterTriggerRequest
from schemas.api.collection import AlertApplication, ClusterApplication, CreateCollectionRequest
from schemas.api.named import named_by_stages, named_by_taxonomy
from schemas.api.namespace import CreateNamespaceRequest
from schemas.api.retriever import CreateRetrieverRequest
from schemas.api.taxonomy import CreateTaxonomyRequest
from schemas.api.trigger import CreateTriggerRequest
from schemas.features import HASHING

StepKind = Literal[
    "namespace",
    "collection",
    "retriever",
    "taxonomy",
    "cluster",
    "cluster_application",
    "alert",
    "attachment",
    "trigger",
    "cluster_trigger",
]
ORDER: Final[tuple[StepKind, ...]] = get_args(StepKind)
"""The order in which kinds are applied, as they are listed."""
_MODELS: Final[dict[str, type[ApiRequest]]] = {
    "namespace": CreateNamespaceRequest,
    "collection": CreateCollectionRequest,
    "retriever": CreateRetrieverRequest,
    "taxonomy": CreateTaxonomyRequest,
    "cluster": CreateClusterRequest,
    "alert": CreateAlertRequest,
    "cluster_application": ClusterApplication,
    "attachment": AlertApplication,
    "trigger": CreateTriggerRequest,
    "cluster_trigger": CreateClusterTriggerRequest,
}
NAMES: Final[dict[str, str]] = {
    "namespace": "namespace_name",
    "collection": "collection_name",
    "retriever": "retriever_name",
    "taxonomy": "taxonomy_name",
    "cluster": "cluster_name",
    "alert": "name",
    "trigger": "name",
    "cluster_trigger": "description",
}
"""What an object is known by. A cluster trigger has no name; it is known by its description."""
_QUERY_KEYS: Final = frozenset(("feature_uri", "text", "vector", "min_score"))
GENERATED: Final = " retriever"
"""Ends the name of a retriever made from an alert's own words."""
_LONGEST_NAME: Final = 200
_ALERT_EXTRAS: Final = ("retriever", "filter", "query", "collections")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object was written."""

    file: str
    number: int
    """1 for the first object of the file."""
    line: int | None = None

    def __str__(self) -> str:
        return f"{self.file}: object {self.number}" + (f" (line {self.line})" if self.line else "")


class ManifestError(ValueError):
    """An object that cannot be read. The message names file, object and field."""

    def __init__(self, place: Place, problem: str, field_path: Sequence[str | int] = ()) -> None:
        where = ".".join(str(part) for part in field_path)
        super().__init__(f"{place}: {where}: {problem}" if where else f"{place}: {problem}")
        self.place = place
        self.problem = problem
        self.field = where


@dataclass(frozen=True, slots=True)
class ManifestObject:
    """One object as loaded."""

    place: Place
    content: Any


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to create. ``body`` is an API create body whose references are still names; of an attachment it
    is an entry of ``alert_applications``, of a cluster application one of ``cluster_applications``, and ``name``
    is the collection's."""

    kind: StepKind
    name: str
    body: JsonObject
    place: Place = field(compare=False)
    shorthand: bool = field(default=False, compare=False)
    """It was made from an alert's ``filter`` or ``query``, so that :func:`read_body` finds nothing wrong."""
    alert: str | None = field(default=None, compare=False)
    """Of a retriever that is written within an alert, the alert's name."""


def expand(objects: Iterable[ManifestObject]) -> list[Step]:
    """Everything the objects ask for, in an order in which it can be made; objects of one kind keep the order
    they were written in, but for a retriever or a taxonomy that names another: it comes after. Raises
    :class:`ManifestError`."""
    steps: list[Step] = []
    for item in objects:
        steps.extend(steps_of(item))
    names = Names()
    for step in steps:
        names.add(step)
        read_body(step)
    levels = _levels(steps)
    return sorted(steps, key=lambda step: _rank(step, levels))


_Key: TypeAlias = tuple[str, str]
"""Kind and name."""


def _rank(step: Step, levels: Mapping[_Key, int]) -> tuple[int, int, int]:
    """Retrievers and taxonomies name each other, so they are one group, those that are named first."""
    own = ORDER.index(step.kind)
    group = ORDER.index("retriever") if step.kind == "taxonomy" else own
    return group, levels.get((step.kind, step.name), 0), own


def _levels(steps: Iterable[Step]) -> dict[_Key, int]:
    """How many retrievers and taxonomies of the manifest must be made one after another before each that names
    some. Raises :class:`ManifestError` for those that name each other in a circle."""
    own: dict[_Key, Step] = {}
    for step in steps:
        if step.kind in ("retriever", "taxonomy"):
            own[step.kind, step.name] = step
    named = {key: found for key, step in own.items() if (found := _named(step) & own.keys())}
    levels: dict[_Key, int] = {}
    try:
        for key in TopologicalSorter(named).static_order():
            levels[key] = max((levels[other] + 1 for other in named.get(key, ())), default=0)
    except CycleError as error:
        circle: list[_Key] = error.args[1]
        names = " names ".join(f"{kind} {name!r}" for kind, name in reversed(circle))
        raise ManifestError(own[circle[0]].place, f"definitions name each other in a circle: {names}") from error
    return levels


def _named(step: Step) -> set[_Key]:
    places = (
        named_by_stages(step.body["stages"])
        if step.kind == "retriever"
        else named_by_taxonomy(step.body["config"])
    )
    return {(place.kind, name) for place in places for name in place.names}


class Names:
    """What is defined so far: nothing is defined twice."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], Place] = {}

    def add(self, step: Step) -> None:
        """Note a step. Raises :class:`ManifestError` when something of its kind has its name already."""
        if step.kind in ("attachment", "cluster_application"):
            return
        place = self._places.setdefault((step.kind, step.name), step.place)
        if place is not step.place:
            what: _Key = (step.kind, step.name)
            if step.alert is not None and ("alert", step.alert) in self._places:
                what = ("alert", step.alert)
            raise ManifestError(step.place, f"{what[0]} {what[1]!r} is defined already in {self._places[what]}")


def steps_of(item: ManifestObject) -> list[Step]:
    """What one object asks for; an inline retriever comes before its alert, attachments come last. The bodies
    are not looked into (:func:`read_body`). Raises :class:`ManifestError`."""
    if not isinstance(item.content, dict):
        raise ManifestError(item.place, f"expected an object with kind, found {type(item.content).__name__}")
    body = {key: value for key, value in item.content.items() if value is not None}
    kind = body.pop("kind", None)
    if kind not in NAMES:
        raise ManifestError(item.place, f"kind must be one of {', '.join(NAMES)}; found {kind!r}", ("kind",))
    name = body.get(NAMES[kind])
    if not isinstance(name, str) or not name:
        article = "an" if kind == "alert" else "a"
        raise ManifestError(item.place, f"{article} {kind} needs a {NAMES[kind]} to be known by", (NAMES[kind],))
    if kind == "alert":
        return _alert(name, body, item.place)
    if kind == "collection":
        return _collection(name, body, item.place)
    return [Step(kind, name, body, item.place)]


def _collection(name: str, body: JsonObject, place: Place) -> list[Step]:
    body.setdefault("source", {"type": "direct_upsert"})
    attached = _entries(body, "alert_applications", place)
    clustered = _entries(body, "cluster_applications", place)
    steps = [Step("collection", name, body, place)]
    steps += [Step("cluster_application", name, entry, place) for entry in clustered]
    return steps + [Step("attachment", name, entry, place) for entry in attached]


def _entries(body: JsonObject, key: str, place: Place) -> list[JsonObject]:
    """Takes out of a collection what can be applied to it only when the others are there."""
    entries = body.pop(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ManifestError(place, "must be a list of objects", (key,))
    return entries


def _alert(name: str, body: JsonObject, place: Place) -> list[Step]:
    extras: JsonObject = {key: body.pop(key) for key in _ALERT_EXTRAS if key in body}
    body.setdefault("notification_config", UNCONFIGURED)
    steps: list[Step] = []
    asks = [key for key in ("retriever_id", "retriever", "filter", "query") if key in body or key in extras]
    if asks not in (["retriever_id"], ["retriever"], ["filter"], ["query"], ["filter", "query"]):
        if body.get("source") != "system":
            raise ManifestError(
                place,
                "an alert needs one question: retriever_id, retriever, or filter and/or query; found "
                + (", ".join(asks) or "none"),
            )
    elif asks != ["retriever_id"]:
        retriever = _inline(name, extras, place)
        body["retriever_id"] = retriever["retriever_name"]
        given: str = retriever["retriever_name"]
        shorthand = "retriever" not in extras and len(given) <= _LONGEST_NAME
        steps.append(Step("retriever", given, retriever, place, shorthand, name))
    steps.append(Step("alert", name, body, place))
    collections = extras.get("collections", [])
    if not isinstance(collections, list) or not all(isinstance(item, str) and item for item in collections):
        raise ManifestError(place, "must be a list of collection names", ("collections",))
    return steps + [Step("attachment", item, attachment(name), place) for item in dict.fromkeys(collections)]


def attachment(alert_name: str) -> JsonObject:
    """The entry of ``alert_applications`` that attaches an alert of constant inputs. Its one mapping feeds an
    input nothing reads: the wire wants at least one."""
    source = {"source_type": "constant", "value": alert_name}
    mapping = {"input_key": "alert", "source": source}
    return {"alert_id": alert_name, "execution_mode": "on_ingest", "input_mappings": [mapping]}


def _inline(name: str, extras: Mapping[str, Any], place: Place) -> JsonObject:
    given = name + GENERATED
    if "retriever" in extras:
        retriever = extras["retriever"]
        if not isinstance(retriever, dict):
            raise ManifestError(place, "must be a retriever body", ("retriever",))
        return {"retriever_name": given, **retriever}
    stages: list[JsonObject] = []
    if "filter" in extras:
        if not isinstance(extras["filter"], dict) or not extras["filter"]:
            problem = "must be a filter tree"
            if extras["filter"] == {}:
                problem = "an empty filter lets every document through; write what it asks for"
            raise ManifestError(place, problem, ("filter",))
        # Of a filter tree any case is the default, of the stage it is not; case_sensitive in the tree wins.
        parameters = {"conditions": extras["filter"], "case_insensitive": True}
        stages.append(_stage("filter", "attribute_filter", parameters))
    if "query" in extras:
        stages.append(_stage("search", "feature_search", {"searches": [_search(extras["query"], place)]}))
    return {"retriever_name": given, "stages": stages}


def _stage(name: str, stage_id: str, parameters: JsonObject) -> JsonObject:
    config = {"stage_id": stage_id, "parameters": parameters}
    return {"stage_name": name, "stage_type": "filter", "config": config}


def _search(query: Any, place: Place) -> JsonObject:
    if not isinstance(query, dict):
        raise ManifestError(place, "must be an object", ("query",))
    if unknown := sorted(map(str, query.keys() - _QUERY_KEYS)):
        raise ManifestError(
            place, f"unknown key; accepted are {', '.join(sorted(_QUERY_KEYS))}", ("query", unknown[0])
        )
    if ("text" in query) == ("vector" in query):
        raise ManifestError(place, "give text or vector", ("query",))
    uri = query.get("feature_uri", HASHING if "text" in query else None)
    if not isinstance(uri, str) or not uri:
        raise ManifestError(place, "which feature is the vector compared with?", ("query", "feature_uri"))
    mode = "text" if "text" in query else "vector"
    search: JsonObject = {"feature_uri": uri, "query": {"input_mode": mode, "value": query[mode]}}
    if "min_score" in query:
        search["min_score"] = query["min_score"]
    return search


def _known(step: Step) -> JsonObject:
    """The body, with what is the same in most of a hundred thousand alerts read once for all."""
    if step.body.get("notification_config") is UNCONFIGURED:
        return {**step.body, "notification_config": _unconfigured()}
    return step.body


@cache
def _unconfigured() -> NotificationConfig:
    return NotificationConfig.model_validate(UNCONFIGURED)


def read_body(step: Step) -> ApiRequest:
    """The body of a step, checked field by field. Raises :class:`ManifestError`."""
    try:
        return _MODELS[step.kind].model_validate(_known(step))
    except ValidationError as error:
        path, problem = first_problem(error)
        raise ManifestError(step.place, problem, path) from error
