"""Parameters of a stage read by its model, and what is wrong with them in words (contract 1.4, section 6)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.api.base import CONFLICT
from streams.engines.retrieval.errors import ContradictionError
from streams.engines.retrieval.execution.filter_check import BAD_FILTER, BAD_FORM
from streams.engines.retrieval.templates.filling import holds_template

P = TypeVar("P", bound=BaseModel)
_ABSENT: Final = object()


def read(model: type[P], raw: Mapping[str, Any]) -> P:
    """Parameters without templates. Raises ``ValueError`` naming the first parameter that is wrong."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise _told(model, error.errors()[0]) from error


def check(model: type[BaseModel], raw: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for parameters that no inputs can make right."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        for problem in error.errors():
            if not _may_change(raw, problem):
                raise _told(model, problem) from error


def _told(model: type[BaseModel], problem: ErrorDetails) -> ValueError:
    kind = ContradictionError if problem["type"] == CONFLICT else ValueError
    return kind(_words(model, problem))


def accepted(model: type[BaseModel]) -> list[str]:
    """The names of a model's parameters as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _may_change(raw: Mapping[str, Any], problem: ErrorDetails) -> bool:
    """Whether a problem is about a value that templates will make another."""
    if problem["type"] in (BAD_FILTER, BAD_FORM, "extra_forbidden"):
        return False
    found: Any = raw
    for step in problem["loc"]:
        inside = _inside(found, step)
        if inside is not _ABSENT:
            found = inside
        elif problem["type"] == "missing":
            return False
        # Else the step is no key: pydantic also names the branch of a union it tried.
    return holds_template(found)


def _inside(found: Any, step: int | str) -> Any:
    if isinstance(found, Mapping):
        return found.get(step, _ABSENT)
    if isinstance(found, list) and isinstance(step, int) and step < len(found):
        return found[step]
    return _ABSENT


def _words(model: type[BaseModel], problem: ErrorDetails) -> str:
    where = _where(problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = f"; accepted are {', '.join(accepted(model))}" if len(problem["loc"]) == 1 else ""
        return f"unknown parameter {where}{known}"
    if problem["type"] == "missing":
        return f"{where} is required"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == BAD_FILTER:
        return f"{where}{message}"
    return f"{where}: {message[:1].lower()}{message[1:]}" if where else message


def _where(steps: Sequence[int | str]) -> str:
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
