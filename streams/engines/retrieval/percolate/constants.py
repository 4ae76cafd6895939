"""The constants of a standing alert, and templates filled with them (contract 4.3, section 6)."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from streams.engines.retrieval.errors import InputError, PlanError, StageError
from streams.engines.retrieval.execution.inputs import bind
from streams.engines.retrieval.templates.filling import Names, fill, holds_template, missing_inputs, references

_NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""No template that is filled here reads the time."""
BY_ROW: Final = frozenset(("DOC", "TIME"))
"""Namespaces that a constant cannot fill: the document, and the time it comes."""
_OUTCOMES: Final = frozenset(("CONTEXT", "STAGE"))


def constant_inputs(
    retriever: Mapping[str, Any], alert: Mapping[str, Any], application: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The inputs of a percolation: the schema's defaults, then the alert's, then the application's mappings.

    Raises :class:`PlanError` when a mapping takes its value from the document, or an input is of the wrong type.
    """
    inputs = dict(alert.get("inputs") or {})
    for mapping in (application or {}).get("input_mappings") or ():
        source = mapping.get("source") or {}
        if source.get("source_type") != "constant":
            raise PlanError(
                f"the input {mapping.get('input_key')!r} comes from the document ({source.get('source_type')}): "
                "it is looked up, not percolated"
            )
        inputs[mapping["input_key"]] = source.get("value")
    try:
        return bind(retriever.get("input_schema"), inputs)
    except InputError as error:
        raise PlanError(f"{error}; give it a constant in the alert's inputs") from error


def renderer(inputs: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Fills templates with constants. What it gives raises :class:`PlanError` for an input without a value and for
    templates that need more than constants."""

    def render(value: Any) -> Any:
        if not holds_template(value):
            return value
        needed = {reference.namespace for reference in references(value)} & (BY_ROW | _OUTCOMES)
        if needed:
            raise PlanError(f"a template of {', '.join(sorted(needed))} cannot be filled with constants")
        names = Names(inputs, None, {}, {}, _NEVER)
        for name in missing_inputs(value, names):
            raise PlanError(f"the retriever needs the input {name!r}; give it a constant in the alert's inputs")
        try:
            return fill(value, names, "templates")
        except StageError as error:
            raise PlanError(str(error)) from error

    return render
