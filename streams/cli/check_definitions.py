"""Alerts of manifests, compiled for ``tidewatch check`` and ``tidewatch explain`` without a server. Pure.

Objects are read by the code ``apply`` reads them with (``schemas/manifest.py``) and compiled one by one: what is
kept of an alert is its plan. Those that depend on other objects (a retriever by name, inputs of an attachment)
wait for the end of the manifest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import orjson
from pydantic import ValidationError

from schemas.api.alert import CreateAlertRequest
from schemas.api.base import JsonObject, first_problem
from schemas.api.collection import ON_INGEST, AlertApplication, CreateCollectionRequest, dimensions
from schemas.api.retriever import CreateRetrieverRequest, input_fields
from schemas.api.stages import normalised
from schemas.manifest import GENERATED, ManifestError, ManifestObject, Names, Place, Step, read_body, steps_of
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.look_up import takes_from_document
from streams.engines.retrieval.execution.sizes import QuerySize, check_sizes, query_sizes
from streams.engines.retrieval.execution.windowed import has_window, read_window
from streams.engines.retrieval.percolate.compile import compile_plan
from streams.engines.retrieval.percolate.constants import constant_inputs
from streams.engines.retrieval.percolate.plan import Plan
from streams.engines.retrieval.templates.filling import holds_template, surely_plain

_ASK: Final = (
    "ask a running system what it finds, by POST /v1/alerts/{alert}/explain with a document and the collection_id"
    " of a collection it is attached to"
)
Refuse = Callable[[ManifestError], None]
"""Told of an alert that cannot be checked; raises to end the reading, or returns to go on without it."""


@dataclass(frozen=True, eq=False)
class CheckedAlert:
    """An alert ready to be checked."""

    name: str
    plan: Plan
    collections: frozenset[str] | None
    """Of documents that name a collection, those of these only; ``None`` for all."""
    body: JsonObject | None = None
    """The alert itself, where stages of its must run on a document that matches so far (``Plan.tail``)."""

    @cached_property
    def entry(self) -> bytes:
        """The JSON of a match with score 1.0."""
        return entry(self.name)

    def covers(self, collection: str) -> bool:
        """Whether it is checked on documents that name ``collection``."""
        return self.collections is None or collection in self.collections


class _Waiting(NamedTuple):
    """An alert whose plan depends on objects that may still come."""

    place: Place
    body: JsonObject
    retriever: JsonObject | None
    """Written inline; else its name is the body's ``retriever_id``."""
    collections: list[str]


def raise_it(error: ManifestError) -> None:
    """The strict :data:`Refuse`."""
    raise error


def read_alerts(objects: Iterable[ManifestObject], refuse: Refuse = raise_it) -> list[CheckedAlert]:
    """The alerts of a manifest in the order they are written, enabled or not; one that is attached with several
    sets of inputs stands there once for each.

    Raises :class:`ManifestError` for an object that cannot be read; an alert that can, but cannot be checked on
    one document, is given to ``refuse``, in words for the user with its place.
    """
    reading = _Reading(refuse)
    for item in objects:
        reading.take(item)
    return reading.finish()


class _Reading:
    def __init__(self, refuse: Refuse) -> None:
        self._refuse = refuse
        self._names = Names()
        self._alerts: list[CheckedAlert | _Waiting] = []
        self._retrievers: dict[str, JsonObject] = {}
        self._attached: dict[str, list[tuple[str, JsonObject]]] = {}
        """Alert → collections that name it, with the attachment."""
        self._sets: dict[tuple[str, ...], frozenset[str]] = {}
        self._declared: dict[str, dict[str, int]] = {}
        """Collection → feature URI → dimensions."""
        self._queries: dict[str, tuple[Place, list[QuerySize]]] = {}
        """Alert → where it was written, and its query vectors."""
        self._sizes: dict[QuerySize, QuerySize] = {}

    def take(self, item: ManifestObject) -> None:
        """Note what one object asks for. Raises :class:`ManifestError`."""
        alert: CreateAlertRequest | None = None
        retriever: JsonObject | None = None
        collections: list[str] = []
        steps = steps_of(item)
        # The alert, where there is one, follows a retriever of its own.
        own = steps[0].kind == "alert" or (len(steps) > 1 and steps[1].kind == "alert")
        for step in steps:
            self._names.add(step)
            if step.shorthand:
                retriever = {"collection_identifiers": [], "stages": step.body["stages"], "input_schema": None}
                continue
            request = read_body(step)
            # Not isinstance, which asks a model's metaclass and costs more than all else here.
            if type(request) is CreateRetrieverRequest:
                retriever = _retriever(step, request)
                if not own or not step.name.endswith(GENERATED):
                    self._retrievers[step.name] = retriever
            elif type(request) is CreateAlertRequest:
                alert = request
            elif type(request) is CreateCollectionRequest and request.feature_extractor is not None:
                self._declared[step.name] = dimensions(request.feature_extractor.filled())
            elif type(request) is AlertApplication and request.execution_mode == ON_INGEST:
                collections.append(step.name)
                if not own:
                    self._attached.setdefault(request.alert_id, []).append((step.name, request.filled()))
        if alert is None:
            return
        waiting = _Waiting(item.place, _body(alert), retriever, collections)
        if retriever is None or retriever["collection_identifiers"] or _waits(retriever["stages"]):
            self._alerts.append(waiting)
        else:
            self._alerts.extend(self._compiled(waiting, retriever, None, collections))

    def finish(self) -> list[CheckedAlert]:
        """Every alert, once the manifest is at its end."""
        found: list[CheckedAlert] = []
        for alert in self._alerts:
            if isinstance(alert, _Waiting):
                found.extend(self._waited(alert))
            elif alert.name in self._attached:
                names = {name for name, _ in self._attached[alert.name]} | (alert.collections or set())
                found.append(replace(alert, collections=self._set(names)))
            else:
                found.append(alert)
        return [alert for alert in found if self._fits(alert)] if self._declared else found

    def _fits(self, alert: CheckedAlert) -> bool:
        """Whether its query vectors are as long as those of the collections it covers."""
        if not alert.plan.searches:
            return True
        place, queries = self._queries[alert.name]
        named = None if alert.collections is None else tuple(sorted(alert.collections))
        try:
            check_sizes((query._replace(collections=named) for query in queries), self._declared)
        except PlanError as error:
            problem = f"alert {alert.name!r} cannot be checked on one document: {error}"
            self._refuse(ManifestError(place, problem))
            return False
        return True

    def _waited(self, alert: _Waiting) -> Iterator[CheckedAlert]:
        name = alert.body["retriever_id"]
        retriever = alert.retriever or self._retrievers.get(name)
        if retriever is None and name is not None:
            problem = f"alert {alert.body['name']!r}: there is no retriever {name!r} in the definitions"
            self._refuse(ManifestError(alert.place, problem))
            return
        groups: dict[bytes, tuple[JsonObject | None, list[str]]] = {}
        if alert.collections:
            groups[b""] = (None, alert.collections)
        for collection, application in self._attached.get(alert.body["name"], ()):
            key = orjson.dumps(application["input_mappings"])
            groups.setdefault(key, (application, []))[1].append(collection)
        for given, collections in list(groups.values()) or [(None, [])]:
            yield from self._compiled(alert, retriever or {}, given, collections)

    def _compiled(
        self,
        alert: _Waiting,
        retriever: JsonObject,
        application: JsonObject | None,
        collections: Sequence[str],
    ) -> Iterator[CheckedAlert]:
        name = alert.body["name"]
        if takes_from_document(application):
            problem = f"alert {name!r} looks documents up in other collections, which are not in files: {_ASK}"
            self._refuse(ManifestError(alert.place, problem))
            return
        try:
            if has_window(alert.body):
                read_window(retriever, alert.body, application, 0)
            for collection in collections or (None,):
                plan = compile_plan(retriever, alert.body, application, collection_id=collection)
        except PlanError as error:
            problem = f"alert {name!r} cannot be checked on one document: {error}"
            self._refuse(ManifestError(alert.place, problem))
            return
        for stage in plan.tail:
            if stage.stage.reads is not None or stage.stage.asks is not None:
                problem = f"alert {name!r}: {stage.place} reads other collections, which are not in files: {_ASK}"
                self._refuse(ManifestError(alert.place, problem))
                return
        if plan.searches:
            inputs = constant_inputs(retriever, alert.body, application)
            sizes = [self._sizes.setdefault(size, size) for size in query_sizes(retriever, inputs)]
            self._queries.setdefault(name, (alert.place, []))[1].extend(sizes)
        covered = collections or retriever.get("collection_identifiers")
        yield CheckedAlert(name, plan, self._set(covered) if covered else None, alert.body if plan.tail else None)

    def _set(self, names: Iterable[str]) -> frozenset[str]:
        """One object for equal sets: most alerts of a manifest are attached alike."""
        return self._sets.setdefault(tuple(sorted(names)), frozenset(names))


def _waits(stages: list[JsonObject]) -> bool:
    """Whether an attachment further on may give a template its inputs."""
    return not surely_plain(stages) and holds_template(stages)


def entry(name: str) -> bytes:
    """The JSON of a match of the alert ``name`` with score 1.0."""
    return b'{"alert":' + orjson.dumps(name) + b',"score":1.0}'


def _body(request: CreateAlertRequest) -> JsonObject:
    """What of an alert decides whether it matches."""
    return {
        "name": request.name,
        "source": request.source,
        "retriever_id": request.retriever_id,
        "trigger_on": request.trigger_on,
        "min_count": request.min_count,
        "threshold": None if request.threshold is None else request.threshold.filled(),
        "inputs": request.inputs,
        "window_seconds": request.window_seconds,
        "time_domain": request.time_domain,
    }


def _retriever(step: Step, request: CreateRetrieverRequest) -> JsonObject:
    """What of a retriever decides what it finds; its collections are names."""
    try:
        stages = normalised(request.stages)
    except ValidationError as error:
        path, problem = first_problem(error)
        raise ManifestError(step.place, problem, path) from error
    return {
        "collection_identifiers": [*(request.collection_identifiers or ()), *(request.collection_ids or ())],
        "stages": stages,
        "input_schema": input_fields(request.input_schema),
    }
