"""The standing alerts of a collection, out of the definitions in force. Pure (contract 4.3, design section 4).

An alert whose inputs are constants is *percolated*: a :class:`Plan` for the one arriving document. One that takes
an input from the document is *looked up*: its retriever runs over reference collections. What an alert was read
into is kept with what it was read from, so a change costs as much as what it changed.
"""

import operator
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from schemas.api.collection import ON_INGEST
from schemas.events.definition import DefinitionRecord
from streams.engines.retrieval.errors import PlanError
from streams.engines.retrieval.execution.look_up import LookUp
from streams.engines.retrieval.execution.standing import read_standing, reference_collections
from streams.engines.retrieval.execution.windowed import Window, has_window, read_window
from streams.engines.retrieval.percolate.plan import Plan
from streams.runtime.catalog import Catalog
from streams.runtime.named import NamedDefinitions

ALERT_PHASE = 3

Order: TypeAlias = tuple[int, int, int]
"""Execution phase, priority (negated), number of the alert: what is checked first is less."""


@dataclass(frozen=True, slots=True, eq=False)
class StandingAlert:
    """An enabled alert that is checked when a document arrives. One that was read again is another."""

    alert_id: str
    number: int
    """Ends the alert's execution ids."""
    version: int
    """The definitions version of the alert, for the record."""
    retriever_id: str
    order: Order
    rule: Mapping[str, Any]
    """The alert's body: when what was found makes it fire."""
    plan: Plan | None = None
    """How it is percolated."""
    look_up: LookUp | None = None
    """How it looks the document up; it has this or a plan."""
    window: Window | None = None
    """What a matching document adds to, for an alert that the trigger station decides over a window."""

    references: frozenset[str] = frozenset()
    """Ids of the collections that must be at hand when a document is checked."""

    @property
    def needs_more(self) -> bool:
        """Whether the arriving document alone does not decide it."""
        return self.plan is None or bool(self.plan.tail)


@dataclass(frozen=True, slots=True)
class _Entry:
    """An attachment, what it was read from, and what it was read into: an alert, or the reason why it cannot be
    checked, or neither while the alert is switched off or gone."""

    application: Mapping[str, Any]
    alert: DefinitionRecord | None
    retriever: DefinitionRecord | None
    retriever_id: str
    """The retriever the alert asks, also one that does not exist."""
    standing: StandingAlert | None = None
    refused: str | None = None


_NONE: Final[Mapping[str, _Entry]] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """The alerts of one collection."""

    entries: Mapping[str, _Entry] = field(default_factory=dict)
    applications: Sequence[Mapping[str, Any]] = ()
    """The collection's attachments, what all of it was read from."""
    more: tuple[StandingAlert, ...] = ()
    """Those that the arriving document alone does not decide: look-ups, and plans that go on with the document in
    stages of their own; in the order they are checked."""
    refused: tuple[tuple[str, str], ...] = ()
    """Those that cannot be checked, by name, each with the reason."""

    @property
    def alerts(self) -> tuple[StandingAlert, ...]:
        """Those that are percolated, in the order they are checked."""
        return _ordered(
            entry.standing for entry in self.entries.values() if entry.standing and entry.standing.plan
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """What became of the percolated alerts of a collection. One that changed is in both."""

    removed: tuple[StandingAlert, ...] = ()
    added: tuple[StandingAlert, ...] = ()

    def by_window(self) -> "tuple[Changes, Changes]":
        """Those of alerts that one document decides, and those of alerts that are decided over a window."""
        if all(alert.window is None for alert in (*self.removed, *self.added)):
            return self, Changes()
        return (
            Changes(
                *(tuple(alert for alert in part if alert.window is None) for part in (self.removed, self.added))
            ),
            Changes(*(tuple(alert for alert in part if alert.window) for part in (self.removed, self.added))),
        )


_STEP: Final = 64
"""Alerts read between two pauses; a few milliseconds."""


def standing_alerts(
    catalog: Catalog, namespace_id: str, collection_id: str, before: Standing | None = None
) -> Standing:
    """The alerts attached on ingest: by execution phase, then priority from high to low, then the oldest alert.

    Nothing for a collection that is unknown or disabled. An alert whose definition cannot be checked when a
    document arrives is refused when it is attached; one that gets here all the same is reported, never guessed.
    ``before`` is what stood until now: of it everything that has not changed is taken as it is.
    """
    *_, standing = standing_in_steps(catalog, namespace_id, collection_id, before)
    assert standing is not None
    return standing


def standing_in_steps(
    catalog: Catalog, namespace_id: str, collection_id: str, before: Standing | None = None
) -> Iterator[Standing | None]:
    """As :func:`standing_alerts`, which comes last; ``None`` before it are pauses. What changes in a pause may be
    missing from it: :func:`after` puts it in."""
    applications = _applications(catalog, namespace_id, collection_id)
    held = _NONE if before is None else before.entries
    entries: dict[str, _Entry] = {}
    for number, (name, application) in enumerate(_on_ingest(applications).items(), 1):
        entries[name] = _entry(catalog, namespace_id, collection_id, application, held.get(name))
        if number % _STEP == 0:
            yield None
    yield Standing(entries, applications, _more(entries), tuple(sorted(_refused(entries, entries))))


def after(
    standing: Standing, catalog: Catalog, namespace_id: str, collection_id: str, changed: DefinitionRecord
) -> tuple[Standing, Changes]:
    """``standing`` after one definition of the namespace has changed, at the cost of what depends on it."""
    own = changed.kind == "collection" and changed.id == collection_id
    applications = _applications(catalog, namespace_id, collection_id) if own else standing.applications
    touched = _reattached(standing.applications, applications) if own else _touched(standing, changed)
    if not touched and not own:
        return standing, Changes()
    entries = dict(standing.entries)
    attached = _on_ingest(applications, touched) if own else {name: entries[name].application for name in touched}
    for name in touched:
        held = entries.pop(name, None) if own else None
        if name in attached:
            entries[name] = _entry(catalog, namespace_id, collection_id, attached[name], held)
    more = standing.more
    if any(_needs_more(held.get(name)) for held in (standing.entries, entries) for name in touched):
        more = _more(entries)
    others = (pair for pair in standing.refused if pair[0] not in touched)
    now = Standing(entries, applications, more, tuple(sorted((*others, *_refused(entries, touched)))))
    return now, changes(standing, now, touched)


def changes(before: Standing, now: Standing, among: Iterable[str] | None = None) -> Changes:
    """What has to be taken out of and put into an engine that holds ``before`` so that it holds ``now``. Only the
    alerts ``among`` are looked at, if given."""
    removed: list[StandingAlert] = []
    added: list[StandingAlert] = []
    for name in before.entries.keys() | now.entries.keys() if among is None else among:
        was, is_ = (_percolated(standing.entries.get(name)) for standing in (before, now))
        if was is is_:
            continue
        if was is not None:
            removed.append(was)
        if is_ is not None:
            added.append(is_)
    return Changes(_ordered(removed), _ordered(added))


def _applications(catalog: Catalog, namespace_id: str, collection_id: str) -> Sequence[Mapping[str, Any]]:
    """The attachments of a collection; none of one that is unknown or disabled."""
    collection = catalog.get("collection", namespace_id, collection_id)
    if collection is None or collection.body.get("enabled") is False:
        return ()
    return collection.body.get("alert_applications") or ()


def _on_ingest(
    applications: Sequence[Mapping[str, Any]], among: Collection[str] | None = None
) -> dict[str, Mapping[str, Any]]:
    """By alert its attachment on ingest, the first where there are several."""
    if among is not None:
        applications = [item for item in applications if item["alert_id"] in among]
    found: dict[str, Mapping[str, Any]] = {}
    for application in applications:
        if (application.get("execution_mode") or ON_INGEST) == ON_INGEST:
            found.setdefault(application["alert_id"], application)
    return found


def _reattached(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> dict[str, None]:
    """The alerts named between the attachments that are the same at the beginning and those at the end: nearly
    always one of a hundred thousand is added, removed or changed."""
    first = _alike(before, now)
    before, now = before[first:], now[first:]
    last = _alike(before[::-1], now[::-1])
    changed = (*before[: len(before) - last], *now[: len(now) - last])
    return dict.fromkeys(item["alert_id"] for item in changed)


def _alike(one: Sequence[Any], other: Sequence[Any]) -> int:
    """How many items are the same from the beginning on."""
    same = map(operator.eq, one, other)
    return next((at for at, alike in enumerate(same) if not alike), min(len(one), len(other)))


def _touched(standing: Standing, changed: DefinitionRecord) -> dict[str, None]:
    """The alerts that have to be read again."""
    entries = standing.entries
    if changed.kind == "alert" and changed.id in entries:
        return {changed.id: None}
    if changed.kind not in ("retriever", "taxonomy", "collection"):
        return {}
    # What a stage names may be any retriever, taxonomy or collection; what is missing may have come.
    named = [alert.alert_id for alert in standing.more]
    named += [name for name, _ in standing.refused]
    if changed.kind == "retriever":
        named += [name for name, entry in entries.items() if entry.retriever_id == changed.id]
    return dict.fromkeys(named)


def _refused(entries: Mapping[str, _Entry], among: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in among:
        entry = entries.get(name)
        if entry is not None and entry.refused is not None:
            yield name, entry.refused


def _needs_more(entry: _Entry | None) -> bool:
    return entry is not None and entry.standing is not None and entry.standing.needs_more


def _more(entries: Mapping[str, _Entry]) -> tuple[StandingAlert, ...]:
    return _ordered(entry.standing for entry in entries.values() if entry.standing and entry.standing.needs_more)


def _percolated(entry: _Entry | None) -> StandingAlert | None:
    return None if entry is None or entry.standing is None or entry.standing.plan is None else entry.standing


def _ordered(alerts: Iterable[StandingAlert]) -> tuple[StandingAlert, ...]:
    return tuple(sorted(alerts, key=lambda alert: alert.order))


def _entry(
    catalog: Catalog,
    namespace_id: str,
    collection_id: str,
    application: Mapping[str, Any],
    held: _Entry | None,
) -> _Entry:
    alert = catalog.get("alert", namespace_id, application["alert_id"])
    retriever_id = "" if alert is None else alert.body.get("retriever_id") or ""
    retriever = catalog.get("retriever", namespace_id, retriever_id)
    if (
        held is not None
        and held.alert is alert
        and held.retriever is retriever
        and held.application == application
    ):
        return held
    entry = _Entry(application, alert, retriever, retriever_id)
    if alert is None or alert.body.get("enabled") is False:
        return entry
    try:
        standing = _standing(catalog, collection_id, application, alert, retriever)
    except PlanError as error:
        return replace(entry, refused=str(error))
    return replace(entry, standing=standing)


def _standing(
    catalog: Catalog,
    collection_id: str,
    application: Mapping[str, Any],
    alert: DefinitionRecord,
    retriever: DefinitionRecord | None,
) -> StandingAlert:
    retriever_id = alert.body.get("retriever_id") or ""
    if retriever is None:
        raise PlanError(f"its retriever {retriever_id!r} does not exist")
    definitions = NamedDefinitions(catalog, alert.namespace_id)
    read = read_standing(retriever.body, alert.body, application, definitions, collection_id=collection_id)
    window = None
    if has_window(alert.body):
        window = read_window(retriever.body, alert.body, application, retriever.version.number)
    phase = application.get("execution_phase")
    order = (ALERT_PHASE if phase is None else phase, -(application.get("priority") or 0), alert.number)
    plan, look_up = (read, None) if isinstance(read, Plan) else (None, read)
    return StandingAlert(
        alert_id=alert.id,
        number=alert.number,
        version=alert.version.number,
        retriever_id=retriever_id,
        order=order,
        rule=alert.body,
        plan=plan,
        look_up=look_up,
        window=window,
        references=reference_collections(read, definitions),
    )
