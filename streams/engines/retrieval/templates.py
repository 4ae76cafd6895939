"""Inputs of a retriever put in place of its templates, where they are constants (contract section 6).

Only a string that is exactly one template of an input is replaced, by the input's native value; anything else
between double braces would need the arriving document or a template engine and is refused.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from streams.engines.retrieval.errors import PlanError

_WHOLE: Final = re.compile(r"\s*\{\{\s*(?:INPUTS?|inputs?|Inputs?)\.([\w.]+)\s*\}\}\s*")


def substitute(value: Any, inputs: Mapping[str, Any]) -> Any:
    """``value`` with every template of an input replaced. Raises :class:`PlanError` for an input without a
    value and for any other template."""
    if isinstance(value, str):
        if "{{" not in value:
            return value
        found = _WHOLE.fullmatch(value)
        if found is None:
            raise PlanError(
                f"the template {value[:80]!r} cannot be filled when a document arrives: "
                "only {{INPUT.name}} alone, with a constant, can"
            )
        return _input(found.group(1), inputs)
    if isinstance(value, Mapping):
        if _dynamic(value):
            return _input(value["field"].removeprefix("inputs."), inputs)
        return {key: substitute(item, inputs) for key, item in value.items()}
    if isinstance(value, list):
        # Vectors are the long lists: nothing in them can hold a template.
        if value and type(value[0]) in (int, float):
            return value
        return [substitute(item, inputs) for item in value]
    return value


def is_template(value: Any) -> bool:
    """Whether the whole of ``value`` comes with the inputs: a string with a template, or a dynamic value."""
    return "{{" in value if isinstance(value, str) else isinstance(value, Mapping) and _dynamic(value)


def holds_template(value: Any) -> bool:
    """Whether ``value`` or something in it is a template."""
    if is_template(value):
        return True
    if isinstance(value, Mapping):
        return any(holds_template(item) for item in value.values())
    if isinstance(value, list):
        return not (value and type(value[0]) in (int, float)) and any(holds_template(item) for item in value)
    return False


def _dynamic(value: Mapping[str, Any]) -> bool:
    return value.get("type") == "dynamic" and isinstance(value.get("field"), str)


def _input(path: str, inputs: Mapping[str, Any]) -> Any:
    value: Any = inputs
    for name in path.split("."):
        if not isinstance(value, Mapping) or value.get(name) is None:
            raise PlanError(f"the retriever needs the input {path!r}; give it a constant in the alert's inputs")
        value = value[name]
    return value


def constant_inputs(
    retriever: Mapping[str, Any], alert: Mapping[str, Any], application: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The inputs of a percolation: the schema's defaults, then the alert's, then the application's mappings.

    Raises :class:`PlanError` when a mapping takes its value from the document.
    """
    schema = retriever.get("input_schema") or {}
    inputs = {
        name: field["default"]
        for name, field in schema.items()
        if isinstance(field, Mapping) and field.get("default") is not None
    }
    inputs.update(alert.get("inputs") or {})
    for mapping in (application or {}).get("input_mappings") or ():
        source = mapping.get("source") or {}
        if source.get("source_type") != "constant":
            raise PlanError(
                f"the input {mapping.get('input_key')!r} comes from the document ({source.get('source_type')}): "
                "alerts that look the document up in a collection are not supported, give it a constant"
            )
        inputs[mapping["input_key"]] = source.get("value")
    return inputs
