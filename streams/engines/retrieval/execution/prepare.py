"""Retriever bodies read once: every stage looked up, its parameters, filters and templates checked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

from pydantic import BaseModel

from streams.engines.retrieval.errors import ContradictionError, FilterError, PlanError, StageError
from streams.engines.retrieval.execution.filter_check import WrittenFilter, read_filter
from streams.engines.retrieval.stages import validation
from streams.engines.retrieval.stages.parameters import PLACEHOLDERS
from streams.engines.retrieval.stages.registry import STAGES, unavailable
from streams.engines.retrieval.stages.stage import Stage
from streams.engines.retrieval.templates.filling import Reference, holds_template, references, surely_plain

MAX_STAGES: Final = 50
_NOTHING: Final[frozenset[Reference]] = frozenset()
_FILTERS: Final = ("pre_filters", "post_filters")


@dataclass(frozen=True, slots=True, eq=False)
class PreparedStage:
    """A stage of one retriever."""

    stage: Stage[Any]
    name: str
    place: str
    """The stage as messages name it."""
    raw: Mapping[str, Any]
    """Parameters as they are written."""
    ready: BaseModel | None
    """Parameters read, when nothing of them waits for inputs."""
    pre_filters: WrittenFilter | None = None
    post_filters: WrittenFilter | None = None
    on_error: Literal["error", "skip"] = "error"
    output_alias: str | None = None
    references: frozenset[Reference] = frozenset()
    """What its templates name, filters included."""

    def parameters(self, render: Callable[[Any], Any]) -> Any:
        """The parameters with templates filled, but for those the stage fills row by row. Raises
        :class:`StageError`."""
        if self.ready is not None:
            return self.ready
        filled = {key: self._filled(key, value, render) for key, value in self.raw.items()}
        try:
            return validation.read(self.stage.parameters, filled)
        except ValueError as error:
            raise StageError(f"{self.place}: {error}") from error

    def sketch(self) -> Any:
        """The parameters as they are written: read where that can be, else with their templates in them."""
        if self.ready is not None:
            return self.ready
        return self.stage.parameters.model_construct(
            **{_field(self.stage, key): value for key, value in self.raw.items()}
        )

    def _filled(self, key: str, value: Any, render: Callable[[Any], Any]) -> Any:
        return value if _field(self.stage, key) in self.stage.per_row else render(value)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A retriever ready to be executed any number of times."""

    stages: tuple[PreparedStage, ...]
    input_schema: Mapping[str, Any]
    collections: tuple[str, ...] | None
    """Ids; ``None`` means every collection."""
    max_time_ms: float | None = None
    max_credits: float | None = None


def prepare(retriever: Mapping[str, Any]) -> Prepared:
    """Read a retriever body. Raises :class:`PlanError` naming the stage and the parameter."""
    raw = retriever.get("stages") or []
    if not isinstance(raw, Sequence) or len(raw) > MAX_STAGES:
        raise PlanError(f"stages must be a list of at most {MAX_STAGES}")
    stages = tuple(prepare_stage(stage) for stage in _named(raw))
    check_references(stages)
    limits = retriever.get("budget_limits") or {}
    collections = retriever.get("collection_identifiers") or None
    return Prepared(
        stages,
        retriever.get("input_schema") or {},
        None if collections is None else tuple(collections),
        limits.get("max_time_ms"),
        limits.get("max_credits"),
    )


def prepare_stage(stage: Mapping[str, Any]) -> PreparedStage:
    """Read one stage, in the SDK's form or the flat form of the guides. Raises :class:`PlanError`."""
    config = stage.get("config")
    if not _is_object(config):
        config = stage
    stage_id, raw = config.get("stage_id"), config.get("parameters") or {}
    name = str(stage.get("stage_name") or stage_id)
    place = f"stage {name}"
    if isinstance(stage_id, str) and (reason := unavailable(stage_id)) is not None:
        raise PlanError(f"{place}: {reason}")
    found = STAGES.get(stage_id) if isinstance(stage_id, str) else None
    if found is None:
        raise PlanError(f"{place}: unknown stage_id {stage_id!r}; there are {', '.join(sorted(STAGES))}")
    if not _is_object(raw):
        raise PlanError(f"{place}: parameters must be an object")
    if not PLACEHOLDERS.isdisjoint([value for value in raw.values() if type(value) is str]):
        raw = {key: value for key, value in raw.items() if not (type(value) is str and value in PLACEHOLDERS)}
    before = config.get("pre_filters", stage.get("pre_filters"))
    after = config.get("post_filters", stage.get("post_filters"))
    named, waits = _NOTHING, False
    written = [raw, before, after]
    if not surely_plain(written) and (holds_template(written) or _template_key(raw)):
        parts = {**raw, "pre_filters": before, "post_filters": after}
        named, waits = _check_templates(found, parts, place)
    ready = None
    try:
        pre = None if before is None else read_filter(before, "pre_filters")
        post = None if after is None else read_filter(after, "post_filters")
        if waits:
            validation.check(found.parameters, raw)
        else:
            ready = validation.read(found.parameters, raw)
    except FilterError as error:
        raise PlanError(f"{place}: {error}") from error
    except ContradictionError as error:
        raise ContradictionError(f"{place}: {error}") from error
    except ValueError as error:
        raise PlanError(f"{place}: {error}") from error
    if found.needs_filter is not None and (reason := found.needs_filter(raw, before)) is not None:
        raise PlanError(f"{place}: {reason}")
    on_error: Any = stage.get("on_error") or "error"
    if on_error not in ("error", "skip"):
        raise PlanError(f"{place}: on_error must be error or skip")
    alias = stage.get("output_alias")
    return PreparedStage(found, name, place, raw, ready, pre, post, on_error, alias, named)


def _is_object(value: Any) -> TypeGuard[Mapping[str, Any]]:
    # Asked for the common type before the abstract one, which answers several times slower.
    return type(value) is dict or isinstance(value, Mapping)


def _named(raw: Sequence[Any]) -> list[Mapping[str, Any]]:
    """Stages with a name of their own each: the flat form has none, and a body written by hand may repeat one."""
    names: set[str] = set()
    named: list[Mapping[str, Any]] = []
    for at, stage in enumerate(raw):
        if not _is_object(stage):
            raise PlanError(f"stage {at + 1}: a stage is an object with stage_name and config")
        config = stage.get("config")
        inner = config if _is_object(config) else stage
        base = name = str(stage.get("stage_name") or inner.get("stage_id"))
        number = 2
        while name in names:
            name, number = f"{base}_{number}", number + 1
        names.add(name)
        named.append(stage if stage.get("stage_name") == name else {**stage, "stage_name": name})
    return named


def _field(stage: Stage[Any], key: str) -> str:
    """The parameter that a key is a name of."""
    key = getattr(stage.parameters, "guide", {}).get(key, key)
    fields = stage.parameters.model_fields.items()
    return next((name for name, field in fields if field.alias == key), key)


def _check_templates(
    stage: Stage[Any], written: Mapping[str, Any], place: str
) -> tuple[frozenset[Reference], bool]:
    """Check the templates of a stage: what they name, and whether some must be filled before its parameters can be
    read."""
    found: frozenset[Reference] = frozenset()
    waits = False
    for key, value in written.items():
        if "{{" in key or _template_key(value):
            raise PlanError(f"{place}: {key}: a template cannot be the name of a key")
        if not holds_template(value):
            continue
        try:
            named = references(value)
        except PlanError as error:
            raise PlanError(f"{place}: {key}: {error}") from error
        is_filter = key in _FILTERS
        by_row = is_filter or _field(stage, key) in stage.per_row
        for reference in named:
            if reference.namespace == "DOC" and not by_row:
                rows = ", ".join(sorted({*stage.per_row, *_FILTERS}))
                raise PlanError(f"{place}: {key}: DOC is known row by row; here only {rows} can use it")
        waits = waits or not by_row
        found |= named
    return found, waits


def _template_key(value: Any) -> bool:
    rest = [value]
    for item in rest:
        kind = type(item)
        if kind is dict:
            for key in item:
                if type(key) is str and "{{" in key:
                    return True
            rest += item.values()
        elif kind is list and item and type(item[0]) is not float:
            rest += item
    return False


def check_references(stages: Sequence[PreparedStage]) -> None:
    """Refuse templates that need what comes later, or themselves. Raises :class:`PlanError`."""
    aliases: set[str] = set()
    names: set[str] = set()
    for stage in stages:
        for reference in stage.references:
            known = {"CONTEXT": aliases, "STAGE": names}.get(reference.namespace)
            if known is not None and reference.key is not None and reference.key not in known:
                there = f"; there are {', '.join(sorted(known))}" if known else ""
                what = "an output_alias" if reference.namespace == "CONTEXT" else "the name"
                raise PlanError(
                    f"{stage.place}: {reference.namespace}.{reference.key} is not {what} of a stage before{there}"
                )
        names.add(stage.name)
        if stage.output_alias:
            aliases.add(stage.output_alias)
